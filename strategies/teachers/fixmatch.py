"""FixMatch (Sohn et al., 2020): label an image by its weak view where confident, learn that label on its strong view.

    loss = CE + weight * mean_u 1[max p(weak_u) >= tau] CE(p(strong_u), argmax p(weak_u))

The mean is over all unlabelled images, also those that do not count. As in the authors' code weak and strong views share
one forward pass in train mode, so that BatchNorm treats the label and what learns it alike; unlike theirs, the labelled
images are not part of it, so that their loss is that of every other strategy. Running statistics take in both passes.
No gradient goes through the label; through shared batch statistics some does reach the weak views, as in the original.
The authors evaluate a moving average of the weights: add `ema` for that.
"""

from bench.methods.api import Batch, Model, Phase, Task, Tensor, Transform, hyperparameter, torch
from strategies.shared.unlabeled import confident_cross_entropy, views, with_unlabeled


class FixMatch(Transform):
    """Confident predictions on weak views are the labels of strong views."""

    source = "Sohn et al. 2020, arXiv:2001.07685"
    when = "The paper: a handful of labels per class and many unlabelled images of the same classes."
    against = "Each step costs 1 + 2 * unlabeled forward passes. In few steps, or from a poor start, nothing gets confident."

    unlabeled: int = hyperparameter(3, 1, 7)
    threshold: float = hyperparameter(0.95, 0.7, 0.99)
    weight: float = hyperparameter(1.0, 0.1, 10.0, log=True)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        def fixmatch(model: Model, batch: Batch) -> Tensor:
            weak, strong = model(torch.cat(views(batch))).chunk(2)
            return self.weight * confident_cross_entropy(weak, strong, self.threshold)

        return with_unlabeled(phase, "fixmatch", self.unlabeled).add_term("fixmatch", fixmatch)
