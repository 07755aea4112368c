"""Layer-wise learning-rate decay (ELECTRA, Clark et al., 2020; BEiT): each stage slower than the one above it.

    lr_i = lr * decay^(L - i)   for stages i = 0 .. L - 1 from the stem, the head at lr

Rates are set on the groups themselves; timm's `layer_decay` is heeded only by timm's own schedulers.
"""

from bench.methods.api import Group, Model, Phase, Task, Transform, hyperparameter, replace


class LLRD(Transform):
    """Each stage learns `decay` times as fast as the one above it, the head at full rate."""

    source = "Clark et al. 2020, arXiv:2003.10555; Bao et al. 2022, arXiv:2106.08254; document 003 (readers' question)"
    when = (
        "Document 003's readers: front layers slower than back layers? Standard for transformers, .65 to .75."
    )
    against = "One more hyperparameter; with few stages nearly the same as a faster head."
    needs = ("by_gradient", "trains_backbone", "keeps_pretrained")

    decay: float = hyperparameter(0.75, 0.5, 0.95)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        index = {stage.name: stage.index for stage in model.stages}
        depth = len(model.stages)

        def slower(group: Group) -> Group:
            below_head = depth - index.get(
                group.name, depth
            )  # modules that a method adds learn like the head
            return replace(group, lr=group.lr * self.decay**below_head)

        return phase.map_groups(slower)
