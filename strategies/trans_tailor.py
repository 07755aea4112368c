"""TransTailor-like pruning (Liu et al., 2021): cut the filters that matter least to the target, and tune what is left.

Each round fine-tunes, learns a scale alpha for each filter on the target loss with the network frozen, scores filters
|alpha dL/dalpha| (relative to the layer's mean; coupled filters, which can only go together, by their mean), cuts the
lowest of all layers, and multiplies the scales into the filters that stay. Rounds share the epochs equally; learning the
scales is preparation. Once validation accuracy is more than `tolerance` below that of the uncut network, the last cut
is taken back and the rest of the epochs fine-tune. Of a transformer only hidden units of the MLPs can go.
The authors published no code and others' disagree, hence "-like".
"""

import copy

from bench.api import Group, Model, Phase, Phases, Strategy, Task, UserError, knob, torch
from strategies._extras import extra


class TransTailor(Strategy):
    """Fine-tune and cut the least important filters in turn; the network really shrinks."""

    family = "structure"
    source = "Liu et al. 2021, arXiv:2103.01542; document 001"
    when = "Document 001: keep only the filters that the target needs. The paper: better and 20 % cheaper on Dogs."
    against = "No official code confirms the gain; every cut costs epochs, and few validation images cannot judge one."

    lr: float = knob(1e-2, 1e-4, 1e-1, log=True)
    share: float = knob(0.2, 0.05, 0.5)
    rounds: int = knob(3, 1, 5)
    tolerance: float = knob(0.003)

    def phases(self, model: Model, task: Task) -> Phases:
        extra("trans_tailor", "torch_pruning")
        from strategies.layers.cutting import cut

        rounds = min(self.rounds, task.epochs - 1)
        if rounds < 1 or not 0 < self.share < 1:
            raise UserError(
                f"trans_tailor: {self.rounds} rounds in {task.epochs} epochs, share {self.share}: needs a round at "
                "least, two epochs, and a share between 0 and 1"
            )
        work, spent, floor = rehearse(model, self.share / rounds), 0, -1.0
        for i in range(1, rounds + 1):
            yield Phase(f"tune {i}", task.epochs // (rounds + 1), model.groups(self.lr))
            spent += task.epochs // (rounds + 1)
            accuracy = task.accuracy(model, task.val)
            if accuracy < floor:
                model.net, model.pretrained = uncut
                model.restructured()
                break
            floor = accuracy - self.tolerance if i == 1 else floor
            uncut = copy.deepcopy(model.net), model.pretrained
            scores = yield from self._scores(model, task, seed=i)
            cut(model, scores, work * (1 - self.share * i / rounds))
        yield Phase("tune", task.epochs - spent, model.groups(self.lr))

    def _scores(self, model: Model, task: Task, seed: int):
        """Learns the scales in a phase of their own; returns the filters' scores."""
        from strategies.layers.filters import absorb, filter_layers, importance, scaled

        layers = filter_layers(model)
        scales = torch.nn.ParameterList(layer.weight.new_ones(len(layer.weight)) for layer in layers.values())
        model.extra["scales"] = scales
        by_name = dict(zip(layers, scales, strict=True))
        with scaled(model, by_name):
            yield Phase("scales", 1, [Group(list(scales), self.lr, name="scales")], preparation=True)
            scores = importance(model, by_name, task.batches(model, limit=10, seed=seed))
        del model.extra["scales"]
        absorb(model, by_name)
        return scores


def rehearse(model: Model, share: float) -> float:
    """The multiply-adds of the network. Raises `UserError` where `share` of them cannot be cut."""
    from strategies.layers.cutting import cut, multiply_adds
    from strategies.layers.filters import filter_layers

    trial, kind = copy.deepcopy(model), type(model.net).__name__
    norms = {n: m.weight.detach().flatten(1).norm(dim=1).tolist() for n, m in filter_layers(model).items()}
    work = sum(multiply_adds(model).values())
    try:
        cut(trial, norms, (1 - share) * work)
        left = sum(multiply_adds(trial).values())
    except Exception as error:  # whatever torch_pruning, or the network after it, fails with
        raise UserError(f"trans_tailor: torch_pruning cannot cut a {kind}: {error}") from error
    if left > (1 - share) * work:
        raise UserError(f"trans_tailor: of a {kind}, {share:.0%} of the work a round is more than can be cut")
    return work
