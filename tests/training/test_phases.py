"""What the loop makes of each field of a phase."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from bench.data.task import Task
from bench.methods.api import Phase, epoch_spans, replace
from bench.models.model import Model
from bench.training.loop import Trainer
from tests.support.strategy_samples import TRAIN, composed, make_model, make_task, make_trainer

WARM = replace(TRAIN, warmup=0.25)


class Phases:
    """A strategy of given phases."""

    def __init__(self, *phases: Phase) -> None:
        self._phases = phases

    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        return iter(self._phases)

    def finish(self, model: Model) -> None:
        pass


def run(model: Model, *phases: Phase, epochs: int = 4) -> tuple[Trainer, list[dict[str, float]]]:
    trainer, log = make_trainer(model, make_task(epochs=epochs), WARM)
    trainer.run(Phases(*phases))  # type: ignore[arg-type]
    return trainer, log


@pytest.mark.parametrize("network", ["test_efficientnet", "test_vit"])
def test_a_run_in_spans_is_the_run_in_one_phase(network: str) -> None:
    """Schedule, warm-up and the optimiser's state go on as if nothing had happened between the phases."""
    results = []
    for spans in ([(0.0, 1.0)], epoch_spans(4)):
        model = make_model(network)
        phases = [Phase(str(s), 4 // len(spans), model.groups(3e-3), span=s) for s in spans]
        _, log = run(model, *phases)
        results.append((model.state_dict(), log))
    (whole, whole_log), (parts, parts_log) = results
    assert all(torch.allclose(whole[k].float(), parts[k].float(), atol=1e-6) for k in whole)
    assert [m["lr/head"] for m in whole_log] == pytest.approx([m["lr/head"] for m in parts_log])


def test_a_preparation_between_two_parts_of_a_run_leaves_its_optimiser_alone() -> None:
    results = []
    for measured in (False, True):
        model = make_model("test_vit")
        head = model.groups(0.0, first=len(model.stages))
        first, second = (Phase(str(s), 2, model.groups(3e-3), span=s) for s in epoch_spans(2))
        between = [Phase("measure", 1, head, preparation=True)] * measured
        run(model, first, *between, second)
        results.append(model.state_dict())
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])


def test_a_phase_that_starts_anew_forgets_the_optimisers_state() -> None:
    model = make_model("test_vit")
    trainer, _ = run(model, *(Phase(n, 2, model.groups(3e-3)) for n in "ab"))
    assert trainer._optimizer is not None
    steps = {int(s["step"]) for s in trainer._optimizer.state.values()}
    assert steps == {2 * 3}


def test_preparation_is_none_of_the_budget_and_none_of_the_training_time() -> None:
    model = make_model("test_vit")
    head = model.groups(1e-2, first=len(model.stages))
    trainer, log = run(model, Phase("measure", 3, head, preparation=True), Phase("train", 1, head), epochs=1)
    assert trainer.epochs.done == 1 and len(log) == 1 and trainer.epochs.samples_seen == 36
    assert trainer.clock.seconds["prepare"] > trainer.clock.seconds["train"]


def test_training_sees_the_same_images_in_the_same_order_after_a_preparation() -> None:
    orders = []
    for prepare in (False, True):
        model, seen = make_model("test_vit"), []
        head = model.groups(0.0, first=len(model.stages))
        train = Phase("train", 2, head).map_batch(lambda b, seen=seen: seen.append(b.index) or b)
        phases = [Phase("measure", 3, head, preparation=True)] * prepare + [train]
        run(model, *phases, epochs=2)
        orders.append(torch.cat(seen))
    assert torch.equal(*orders)


def test_transforms_leave_preparations_alone() -> None:
    model, task = make_model("test_vit"), make_task()
    strategy = composed("full + head_x10 + l2_sp")
    prepared = Phase("measure", 1, model.groups(1e-3), preparation=True)
    for transform in strategy.transforms:
        assert list(transform.phases(iter([prepared]), model, task)) == [prepared]


def test_hooks_are_called_once_a_step_and_see_gradients_and_steps() -> None:
    model = make_model("test_vit")
    weight = model.classifier.weight
    seen: list[tuple[str, bool, float]] = []
    phase = (
        Phase("hooked", 1, model.groups(1e-2))
        .after_backward(
            lambda m: seen.append(("gradient", weight.grad is not None, float(weight.detach().sum())))
        )
        .after_step(lambda m: seen.append(("step", weight.grad is not None, float(weight.detach().sum()))))
    )
    run(model, phase, epochs=1)
    assert [kind for kind, *_ in seen] == ["gradient", "step"] * 3
    assert all(has_gradient == (kind == "gradient") for kind, has_gradient, _ in seen)
    assert all(a[2] != b[2] for a, b in zip(seen[::2], seen[1::2], strict=True)), "the step moved the weight"


def test_batches_are_changed_in_order() -> None:
    model = make_model("test_vit")
    phase = Phase("mapped", 1, model.groups(1e-3))
    phase = phase.map_batch(lambda b: replace(b, images=b.x + 1)).map_batch(
        lambda b: replace(b, images=b.x * 0)
    )
    trainer, _ = make_trainer(model, make_task(epochs=1))
    batches = list(trainer.batches.epoch(model, phase))
    assert len(batches) == 3 and all((b.x == 0).all() for b in batches)


def test_the_weights_for_evaluation_are_scored_and_kept() -> None:
    model = make_model("test_efficientnet")
    start = {k: v.clone() for k, v in model.net.state_dict().items()}
    _, log = run(model, Phase("still", 2, model.groups(1e-2), eval_weights=lambda: start), epochs=2)
    assert len({m["val/nll"] for m in log}) == 1, "the same weights are scored in every epoch"
    assert log[1]["train/loss"] < log[0]["train/loss"], "and other ones are trained"
    assert all(torch.equal(v, start[k]) for k, v in model.net.state_dict().items())


def test_a_solved_phase_takes_no_gradient_steps() -> None:
    model = make_model("test_vit")

    def solve(model: Model, task: Task) -> None:
        with torch.no_grad():
            model.classifier.bias.fill_(2.0)

    trainer, log = run(model, Phase("solved", 4, model.groups(0.0, first=len(model.stages)), solve=solve))
    assert (model.classifier.bias == 2).all() and trainer.epochs.done == 4 and len(log) == 1
    assert "val/accuracy" in log[0] and "train/loss" not in log[0]


def test_one_forward_pass_serves_all_terms_of_a_step() -> None:
    model = make_model("test_resnet")
    phase = Phase("terms", 1, model.groups(1e-3))
    for name in ("a", "b"):
        phase = phase.add_term(name, lambda m, b: b.output(m).features.square().mean())
    calls: list[int] = []
    handle = model.net.register_forward_hook(lambda *_: calls.append(model.net.training))
    run(model, phase, epochs=1)
    handle.remove()
    assert sum(calls) == 3


def test_the_best_snapshot_of_another_structure_is_forgotten() -> None:
    model = make_model("test_vit")
    trainer, _ = make_trainer(model, make_task(epochs=2))
    trainer.snapshots = True
    trainer.fit(Phase("first", 1, model.groups(1e-3)))
    before = trainer.best
    layers = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    model.replace_head(lambda head: layers)
    trainer.fit(Phase("second", 1, model.groups(1e-9)))
    assert before and trainer.best and trainer.best is not before and trainer.best.epoch == 2
