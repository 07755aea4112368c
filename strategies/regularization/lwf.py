"""LwF, learning without forgetting (Li and Hoiem, 2016): keep answering as the pretrained network did.

    loss = CE + weight * T^2 * CE(softmax(s0(x) / T), softmax(s(x) / T))

s is the source classifier on the features; s0 its outputs on the (un-augmented) training images, recorded before anything
is trained. It trains along at the backbone's rate, as the old task's head does in the paper. T^2 keeps the gradient's size
independent of T.
"""

from bench.methods.api import Batch, Model, Phases, Task, Tensor, Transform, hyperparameter
from strategies.shared.source_head import keep_source_head, soft_cross_entropy, source_logits, train_along


class LwF(Transform):
    """Distil the pretrained network's recorded outputs on the target images through its own classifier."""

    source = "Li and Hoiem 2016, arXiv:1606.09282"
    when = "The paper: to keep the old task too; TLlib: as a regulariser at 15 % of CUB 5 points above plain tuning."
    against = "What the source's classes say of dissimilar images is noise; needs the source's classifier."
    needs = ("by_gradient", "keeps_pretrained", "trains_backbone")
    excludes = {name: "a mixture's outputs were not recorded" for name in ("mixup", "cutmix")} | {
        "truncate": "the source's classifier reads features that truncation has cut off",
        "trans_tailor": "the source's classifier reads features that pruning has removed",
    }

    weight: float = hyperparameter(1.0, 0.1, 10.0, log=True)
    temperature: float = hyperparameter(2.0, 1.0, 8.0)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        head = keep_source_head("lwf", model)
        soft = (source_logits(head, task.train, model, task) / self.temperature).softmax(dim=-1)

        def lwf(model: Model, batch: Batch) -> Tensor:
            logits = head(batch.output(model).features).float() / self.temperature
            return self.weight * self.temperature**2 * soft_cross_entropy(soft[batch.index], logits)

        for phase in phases:
            yield train_along(phase, head, "lwf", lwf)
