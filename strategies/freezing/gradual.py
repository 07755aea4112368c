"""Gradual unfreezing (ULMFiT; Howard and Ruder, 2018): one more stage per epoch, from the top.

Epoch 1 trains the head, epoch 2 the last stage too, and so on until everything trains. One learning-rate schedule runs
over the whole, where the paper's code starts one for each stage. With fewer epochs than stages to unfreeze, several are
unfrozen at once, so that the last epoch trains all. Epochs that train the same stages are one phase.
"""

from itertools import groupby

from bench.methods.api import Model, Phase, Phases, Strategy, Task, hyperparameter


class Gradual(Strategy):
    """Unfreeze one more stage each epoch, from the head down."""

    source = "Howard and Ruder 2018, arXiv:1801.06146; document 000 (deep fine-tuning)"
    when = "The paper: against forgetting; with discriminative rates and a slanted triangular schedule."
    against = (
        "Made for language models; on images seldom better than a smaller rate, and lower stages train less."
    )

    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        depth, epochs = len(model.stages), task.epochs
        pace = max(1.0, depth / max(1, epochs - 1))
        frozen = [max(0, depth - round(epoch * pace)) for epoch in range(epochs)]
        frozen[-1] = 0
        done = 0
        for first, same in groupby(frozen):
            start, done = done, done + len(list(same))
            groups, span = model.groups(self.lr, first=first), (start / epochs, done / epochs)
            yield Phase(f"from {first}", done - start, groups, span=span)
