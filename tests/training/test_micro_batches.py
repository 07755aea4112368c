"""Memory that runs out: the same step again in parts, with the results of whole batches, logged and reported."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.core.errors import UserError
from bench.core.schema import Metric
from bench.core.spec import BackboneSpec
from bench.methods.api import Group, Phase, cross_entropy
from bench.models.model import Model
from bench.storage.places import Places
from bench.training import micro_batches as micro
from bench.training.cached_features.store import GIB, ActivationStore
from bench.training.evaluate import predict
from bench.training.loop import Trainer
from bench.training.precision_timing import compare
from bench.training.run import execute, prepared_run
from reports.sections import head
from tests.support.specs import SPEC
from tests.support.strategy_samples import (
    STRATEGIES,
    TRAIN,
    TRANSFORMS,
    gentle,
    make_model,
    make_task,
    make_trainer,
)

MOMENTUM = replace(TRAIN, optimizer="momentum")
"""Not Adam, which makes steps of full size of the rounding errors in gradients that are zero."""

FITS = 5
"""Images whose activations the pretended device holds; batches have 12."""

DRAWS = {"spot_tune"}
"""What draws at random within a pass: part by part, so other numbers."""

EXACT = [e for e in [*STRATEGIES, *(f"full + {t}" for t in TRANSFORMS)] if e not in DRAWS]
FEW = ["full + delta", "full + bss", "full + bi_tuning", "full + fixmatch", "full + mixup"]
"""A sum over images, singular values and keys of a batch, unlabelled images, mixtures."""


class _FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        raise full_memory()


def full_memory() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def small_device(
    model: Model, fits: Callable[[int], bool], backward: bool = False, always: bool = False
) -> list[int]:
    """Passes that keep activations for more images than fit raise; `always`: passes that keep none too. -> their sizes"""
    seen: list[int] = []

    def before(net: nn.Module, args: Any) -> None:
        seen.append(len(args[0]))
        if (torch.is_grad_enabled() or always) and not backward and not fits(len(args[0])):
            raise full_memory()

    def after(net: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        too_many = backward and output.requires_grad and not fits(len(output))
        return _FailsBackward.apply(output) if too_many else None

    model.net.register_forward_pre_hook(before)
    model.net.register_forward_hook(after)
    return seen


def trained(
    expression: str,
    network: str,
    fits: Callable[[int], bool] | None,
    epochs: int = 2,
    train: Any = MOMENTUM,
    images: int = 36,
    **kwargs: Any,
) -> tuple[Trainer, list[dict[str, float]]]:
    model, task = make_model(network), make_task(images, epochs)
    torch.manual_seed(3)
    trainer, log = make_trainer(model, task, train)
    if fits:
        small_device(model, fits, **kwargs)
    trainer.run(gentle(expression))
    return trainer, log


def up_to(images: int) -> Callable[[int], bool]:
    return lambda n: n <= images


def assert_same(a: tuple[Trainer, list[Any]], b: tuple[Trainer, list[Any]]) -> None:
    for one, other in zip(a[1], b[1], strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
    others = b[0].model.state_dict()
    for name, value in a[0].model.state_dict().items():
        torch.testing.assert_close(
            value, others[name], rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_gradient_of_all_parts_is_clipped_once() -> None:
    clipped = replace(MOMENTUM, clip_grad=0.05)
    whole = trained("full", "test_convnext", None, train=clipped)
    assert_same(trained("full", "test_convnext", up_to(FITS), train=clipped), whole)
    plain = trained("full", "test_convnext", None)
    assert whole[1][-1]["train/loss"] != pytest.approx(plain[1][-1]["train/loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("network", "backward"),
    [("test_vit", True), ("test_convnext", False), pytest.param("test_vit", False, marks=pytest.mark.long)],
)
def test_a_step_that_does_not_fit_is_done_again_in_parts(network: str, backward: bool) -> None:
    plain = trained("full", network, None)
    parted = trained("full", network, up_to(FITS), backward=backward)
    assert_same(plain, parted)
    assert not plain[0].pass_limit.parted and plain[0].pass_limit.at_once is None
    assert parted[0].pass_limit.parted and parted[0].pass_limit.at_once == 3  # 12, 6, 3
    assert parted[0].epochs.samples_seen == plain[0].epochs.samples_seen


def test_memory_that_runs_out_later_keeps_what_was_done_and_stays_small() -> None:
    steps = 0

    def fits(images: int) -> bool:
        nonlocal steps
        steps += images == 12
        return images <= (12 if steps <= 4 else FITS)

    plain, parted = trained("full", "test_vit", None), trained("full", "test_vit", fits)
    assert_same(plain, parted)
    assert steps == 5, "after the first failure no whole batch was tried again"


@pytest.mark.parametrize("expression", FEW)
def test_losses_of_every_kind_are_those_of_whole_batches(expression: str) -> None:
    check(expression)


@pytest.mark.long
@pytest.mark.parametrize("expression", [e for e in EXACT if e not in FEW])
def test_so_are_those_of_all_strategies(expression: str) -> None:
    if expression == "full + stoch_norm":
        pytest.skip("it needs BatchNorm, and with that parts are another thing")
    check(expression)


def check(expression: str) -> None:
    epochs = 1 if expression in FEW else 2
    plain = trained(expression, "test_vit", None, epochs, images=24)
    parted = trained(expression, "test_vit", up_to(FITS), epochs, images=24)
    assert_same(plain, parted)
    solved = expression in ("logreg",)
    assert parted[0].pass_limit.parted is not solved


def test_class_weights_are_those_of_the_whole_batch() -> None:
    train = replace(MOMENTUM, class_balance="loss")

    def run(fits: Callable[[int], bool] | None) -> tuple[Trainer, list[dict[str, float]]]:
        model, task = make_model("test_vit"), make_task(epochs=2)
        task = replace(
            task, train=task.train.subset(torch.tensor([0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 1, 2]))
        )
        trainer, log = make_trainer(model, task, train)
        if fits:
            small_device(model, fits)
        trainer.run(gentle("full"))
        return trainer, log

    assert_same(run(None), run(up_to(FITS)))


@pytest.mark.parametrize("expression", ["full", "full + stoch_norm", "spot_tune"])
def test_networks_with_batchnorm_run_with_two_images_at_least(expression: str) -> None:
    """Not equal, and said so: each part is normalised by itself."""
    trainer, log = trained(expression, "test_resnet", up_to(3), 1, TRAIN)
    assert trainer.pass_limit.at_once in (2, 3)
    assert all(torch.isfinite(torch.tensor(v)) for epoch in log for v in epoch.values())


def test_running_statistics_take_in_each_part_once() -> None:
    """The second forward pass, of the backward pass, leaves no trace in them."""
    trainer, _ = trained("full", "test_resnet", up_to(6), epochs=1)
    counters = {int(v) for k, v in trainer.model.state_dict().items() if k.endswith("num_batches_tracked")}
    assert counters == {3 * 2}, (
        "three steps of two parts"
    )  # the pretended device fails before it has computed anything


def test_hooks_are_called_once_per_step_and_gradients_are_there_whole() -> None:
    def run(fits: Callable[[int], bool] | None) -> tuple[list[str], list[Tensor]]:
        model, task = make_model("test_vit"), make_task()
        trainer, _ = make_trainer(model, task, MOMENTUM)
        if fits:
            small_device(model, fits)
        called: list[str] = []
        gradients: list[Tensor] = []
        weight = model.classifier.weight

        def look(model: Model) -> None:
            called.append("backward")
            gradients.append(weight.grad.clone())

        groups = [Group([*model.net.parameters()], 0.01)]
        phase = Phase("p", 1, groups).after_backward(look).after_step(lambda model: called.append("step"))
        with trainer.pass_limit.entered():
            trainer.fit(phase)
        return called, gradients

    plain, parted = run(None), run(up_to(FITS))
    assert plain[0] == parted[0] == ["backward", "step"] * 3
    torch.testing.assert_close(plain[1], parted[1], rtol=1e-4, atol=1e-6)


def test_the_random_state_is_that_before_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where memory runs out; a CPU's never does, and nothing is saved there."""
    assert micro._random_states(torch.device("cpu")) == []
    states = [(torch.default_generator, lambda: torch.default_generator.get_state())]
    monkeypatch.setattr(micro, "_random_states", lambda device: [(g, state()) for g, state in states])
    drawn: list[float] = []
    model, task = make_model("test_vit"), make_task()
    trainer, _ = make_trainer(model, task, MOMENTUM)
    small_device(model, up_to(FITS))

    def noisy(model: Model, batch: Any) -> dict[str, Tensor]:
        drawn.append(torch.rand(()).item())
        return cross_entropy(model, batch)

    with trainer.pass_limit.entered():
        trainer.fit(Phase("p", 1, [Group([*model.net.parameters()], 0.01)], loss=noisy))
    first, again, once_more, *others = drawn
    assert first == again == once_more and len(others) == 2 and first not in others


def test_cached_activations_go_above_the_border_in_parts(tmp_path: Path) -> None:
    """Above a cached border the network runs from activations; a pretended device there counts those."""
    store = ActivationStore(tmp_path, GIB)

    def run(fits: Callable[[int], bool] | None) -> tuple[Trainer, list[dict[str, float]]]:
        model, task = make_model("test_vit"), make_task(epochs=3)
        trainer, log = make_trainer(model, task, MOMENTUM)
        trainer.activations = store
        if fits:

            def before(head: nn.Module, args: Any) -> None:
                if torch.is_grad_enabled() and not fits(len(args[0])):
                    raise full_memory()

            model.classifier.register_forward_pre_hook(before)
        trainer.run(gentle("last_stages"))
        assert trainer._cached is not None
        return trainer, log

    plain, parted = run(None), run(up_to(FITS))
    assert_same(plain, parted)
    assert parted[0].pass_limit.parted


def test_evaluation_and_the_making_of_caches_are_halved_too(tmp_path: Path) -> None:
    model, task = make_model("test_convnext"), make_task()
    trainer, _ = make_trainer(model, task, replace(MOMENTUM, epochs=2))
    expected = predict(model, task.train, trainer.precision, 12)
    seen = small_device(model, up_to(4), always=True)
    torch.testing.assert_close(trainer.predict(task.train), expected, rtol=1e-4, atol=1e-6)
    assert trainer.pass_limit.at_once == 3 and not trainer.pass_limit.parted, (
        "no training step was in parts: nothing to report"
    )
    assert seen.count(12) == 1
    trainer.activations = ActivationStore(tmp_path, GIB)
    trainer.run(gentle("linear_probe"))
    assert trainer._cached is not None and max(seen[len(seen) // 2 :]) <= 4


@pytest.mark.parametrize(("network", "least"), [("test_vit", 1), ("test_resnet", 2)])
def test_where_the_fewest_images_are_too_many_the_message_says_what_to_do(network: str, least: int) -> None:
    with pytest.raises(UserError, match=r"batch_size 12 on images of 32 px.*image_size") as refused:
        trained("full", network, up_to(0))
    assert f"{least} at once" in str(refused.value) and "Tried to allocate 2.00 GiB" in str(refused.value)


def test_nothing_of_a_failed_attempt_is_held() -> None:
    """Else its memory would be missing when the step is begun again."""
    alive: list[weakref.ref[Tensor]] = []
    held: list[int] = []
    model, task = make_model("test_vit"), make_task()
    trainer, _ = make_trainer(model, task, MOMENTUM)

    def watch(block: nn.Module, args: Any, output: Tensor) -> None:
        if len(output) > FITS:
            alive.append(weakref.ref(output))

    model.net.get_submodule("blocks.0.mlp").register_forward_hook(watch)  # no feature map: those are kept
    model.net.register_forward_pre_hook(lambda net, args: held.append(sum(r() is not None for r in alive)))
    small_device(model, up_to(FITS), backward=True)
    with trainer.pass_limit.entered():
        trainer.fit(Phase("p", 1, [Group([*model.net.parameters()], 0.01)]))
    assert len(alive) >= 2 and max(held) == 0


def test_parts_need_less_memory() -> None:
    def peak(at_once: int | None) -> int:
        model, task = make_model("test_convnext"), make_task(images=96, epochs=1)
        trainer, _ = make_trainer(model, task, replace(MOMENTUM, batch_size=96))
        trainer.pass_limit.at_once = at_once
        phase = Phase("p", 1, [Group([*model.net.parameters()], 0.01)])
        batch = next(iter(trainer.batches.epoch(model, phase)))
        with trainer.pass_limit.entered(), measured() as bytes_:
            micro.backpropagate(
                model, phase, batch, trainer.precision, trainer.pass_limit, trainer.clock.parts
            )
        return bytes_["peak"]

    whole, halves, parts = peak(None), peak(48), peak(6)
    assert halves < 0.75 * whole and parts < whole / 3, f"{whole}, {halves}, {parts} bytes"


@contextmanager
def measured() -> Iterator[dict[str, int]]:
    """Peak of the bytes in tensors that operators within have made."""
    bytes_ = {"now": 0, "peak": 0}
    known: set[int] = set()

    def gone(key: int, size: int) -> None:
        known.discard(key)
        bytes_["now"] -= size

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else [out]:
                storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
                if storage is not None and storage._cdata not in known:
                    known.add(storage._cdata)
                    bytes_["now"] += storage.nbytes()
                    weakref.finalize(storage, gone, storage._cdata, storage.nbytes())
            bytes_["peak"] = max(bytes_["peak"], bytes_["now"])
            return out

    with Watch():
        yield bytes_


def test_a_run_logs_it_and_the_report_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepared_run.make_model

    def on_a_small_device(*args: Any) -> Model:
        model = made(*args)
        small_device(model, up_to(FITS))
        return model

    train = replace(SPEC.train, precision="fp32", epochs=1)
    spec = replace(SPEC, backbone=BackboneSpec("test_vit", "random", label="x"), train=train)
    places = Places(tmp_path, tmp_path / "cache")
    plain = execute.execute(spec, places, lambda *args: None)
    monkeypatch.setattr(prepared_run, "make_model", on_a_small_device)
    parted = execute.execute(spec, places, lambda *args: None)
    assert Metric.MICRO_BATCH not in plain.metrics
    assert parted.metrics[Metric.MICRO_BATCH] <= FITS
    rows = [{Metric.MICRO_BATCH: n} for n in (None, 8, parted.metrics[Metric.MICRO_BATCH])]
    assert "**2 runs did not fit" in head.micro_batched(rows) and "4 to 8 images" in head.micro_batched(rows)
    assert head.micro_batched(rows[:1]) == ""


def test_a_batch_that_cannot_be_timed_is_timed_smaller() -> None:
    """Memory that runs out says nothing about bf16."""
    asked: list[int] = []

    def step(dtype: str, images: int) -> float:
        asked.append(images)
        if images > 8:
            raise full_memory()
        return {"fp32": 0.02, "bf16": 0.01}[dtype]

    timing = compare(step, 64)
    assert timing.choice().dtype == "bf16" and timing.images == 8 and max(asked) > 8
