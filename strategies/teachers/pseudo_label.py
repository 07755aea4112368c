"""Pseudo-labels (Lee, 2013): what the network is sure of on unlabelled images becomes their label.

    loss = CE + alpha(t) mean_u 1[max p_u > tau] CE(p_u, argmax p_u)
    alpha(t) = 0 before t1, weight after t2, linear between; t: progress of the phase's training run in [0, 1)

The paper has no tau and t in epochs, 100 and 600; they are shares of the run here, and tau is the later convention
(Oliver et al., 2018). Labels are drawn anew at each step. The unlabelled images (weak views) have a forward pass of their
own in train mode: trained BatchNorm layers normalise them by their own statistics, and take these into the running ones.
"""

from bench.methods.api import Batch, Model, Phase, Task, Tensor, Transform, hyperparameter
from strategies.shared.progress import with_progress
from strategies.shared.unlabeled import confident_cross_entropy, views, with_unlabeled


class PseudoLabel(Transform):
    """Believe confident predictions on unlabelled images, more and more as training goes on."""

    source = "Lee 2013, Pseudo-Label, ICML workshop; Oliver et al. 2018, arXiv:1804.09170; document 000"
    when = "Document 000's outlook: unlabelled images of the target. The simplest such method."
    against = "Confirms its own mistakes; without different views an image that it is sure of teaches little."
    excludes = {"fixmatch": "both label the same images by the network's own predictions"}

    unlabeled: int = hyperparameter(1, 1, 7)
    threshold: float = hyperparameter(0.95, 0.7, 0.99)
    weight: float = hyperparameter(3.0, 0.3, 10.0, log=True)
    t1: float = hyperparameter(0.1, 0.0, 0.3)
    t2: float = hyperparameter(0.6, 0.4, 1.0)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        phase, progress = with_progress(with_unlabeled(phase, "pseudo_label", self.unlabeled), task)

        def pseudo_label(model: Model, batch: Batch) -> Tensor:
            logits = model(views(batch)[0])
            return self.alpha(progress()) * confident_cross_entropy(logits, logits, self.threshold)

        return phase.add_term("pseudo_label", pseudo_label)

    def alpha(self, t: float) -> float:
        if t < self.t1 or t >= self.t2:
            return self.weight * (t >= self.t2)
        return self.weight * (t - self.t1) / (self.t2 - self.t1)
