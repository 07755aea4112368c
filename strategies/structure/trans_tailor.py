"""TransTailor-like pruning (Liu et al., 2021): cut the filters that matter least to the target, and tune what is left.

Each round fine-tunes, learns a scale alpha for each filter on the target loss with the network frozen, scores filters
|alpha dL/dalpha| (relative to the layer's mean; coupled filters, which can only go together, by their mean), cuts the
lowest of all layers, up to eight of a layer at a time (odd numbers save no time), and multiplies the scales into the
filters that stay. Rounds share the epochs equally, at most one each; learning the scales is preparation. Where a round's
validation accuracy is more than `tolerance` below the best before it, the last cut is taken back and the rest of the
epochs fine-tune. Of a transformer only hidden units of the MLPs can go.
The authors published no code and others' disagree, hence "-like".
"""

import copy
from collections.abc import Generator

from bench.methods.api import Group, Model, Phase, Phases, Strategy, Task, UserError, hyperparameter, torch
from strategies.shared.extras import extra


class TransTailor(Strategy):
    """Fine-tune and cut the least important filters in turn; the network really shrinks."""

    source = "Liu et al. 2021, arXiv:2103.01542; document 001"
    when = "Document 001: keep only the filters that the target needs. The paper: better and 20 % cheaper on Dogs."
    against = "No official code confirms it; few images cannot judge a cut, and the last is not judged; long preparation."
    excludes = dict.fromkeys(
        ("bi_tuning", "ema", "mean_teacher"), "its copy of the network cannot follow one that loses filters"
    )
    judges_by_val = True

    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)
    share: float = hyperparameter(0.2, 0.05, 0.5)
    rounds: int = hyperparameter(3, 1, 5)
    tolerance: float = hyperparameter(0.003)

    def phases(self, model: Model, task: Task) -> Phases:
        extra("trans_tailor", "torch_pruning")
        from strategies.layers.cutting import cut, rehearse

        rounds = min(self.rounds, task.epochs - 1)
        if rounds < 1 or not 0 < self.share < 1:
            raise UserError(
                f"trans_tailor: {self.rounds} rounds in {task.epochs} epochs, share {self.share}: needs a round at "
                "least, two epochs, and a share between 0 and 1"
            )
        work, floor, uncut = rehearse(model, self.share / rounds), -1.0, (model.net, model.pretrained)
        epochs, done = task.epochs // (rounds + 1), 0
        for i in range(1, rounds + 1):
            yield Phase(
                f"tune {i}",
                epochs,
                model.groups(self.lr),
                span=(done / task.epochs, (done + epochs) / task.epochs),
            )
            done += epochs
            accuracy = task.accuracy(model, task.val)
            if accuracy < floor:
                model.net, model.pretrained = uncut
                model.restructured()
                break
            floor = max(floor, accuracy - self.tolerance)
            uncut = copy.deepcopy(model.net), model.pretrained
            scores = yield from self._scores(model, task, seed=i)
            cut(model, scores, work * (1 - self.share * i / rounds))
        yield Phase("tune", task.epochs - done, model.groups(self.lr), span=(done / task.epochs, 1.0))

    def _scores(self, model: Model, task: Task, seed: int) -> Generator[Phase, None, dict[str, list[float]]]:
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
