"""L2-SP (Li, Grandvalet, Davoine, 2018): weight decay towards the pretrained weights instead of zero.

    loss = CE + alpha/2 ||w - w0||^2  (backbone)  + beta/2 ||w_head||^2

on weight tensors only (no biases, no normalisation parameters), the optimiser's own weight decay off.
"""

from typing import cast

from bench.methods.api import Batch, Model, Phase, Task, Tensor, Transform, hyperparameter


class L2SP(Transform):
    """Penalise the distance from the pretrained weights."""

    source = "Li et al. 2018, arXiv:1802.01483; document 001"
    when = 'Document 001: "works best" of the tricks; the paper: small sets that are similar to the source.'
    against = (
        "Holds back what has to change on dissimilar targets; the gain over well-tuned weight decay is small."
    )
    needs = ("by_gradient", "keeps_pretrained", "moves_weights")
    excludes = {"weight_decay": "L2-SP replaces weight decay; both would penalise the same weights twice"}

    alpha: float = hyperparameter(0.1, 1e-4, 1.0, log=True)
    beta: float = hyperparameter(0.01, 1e-4, 1.0, log=True)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        from strategies.layers.distance import squared_distance

        trained = {id(p) for p in phase.params}
        weights = [(n, p) for n, p in model.named_parameters() if id(p) in trained and p.ndim > 1]
        backbone = [(p, model.pretrained[n]) for n, p in weights if n in model.pretrained]
        head = [p for n, p in weights if n in model.head.param_names]  # not what other methods add

        def l2_sp(model: Model, batch: Batch) -> Tensor:
            distance = sum(squared_distance(w, w0) for w, w0 in backbone)
            penalty = self.alpha * distance + self.beta * sum(w.square().sum() for w in head)
            return cast(Tensor, 0.5 * penalty)

        return phase.add_term("l2_sp", l2_sp)
