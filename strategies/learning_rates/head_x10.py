"""Head multiplier: the new output layer learns ten times faster than the pretrained backbone (d2l's hot-dog recipe)."""

from bench.methods.api import Model, Phase, Task, Transform, hyperparameter, replace


class HeadX10(Transform):
    """lr of the head = multiplier * lr of the backbone; phases that train the head alone are left as they are."""

    source = "document 003; Zhang et al., Dive into Deep Learning, 14.2"
    when = "Document 003: whenever the output layer is new and the rest pretrained."
    against = "With a backbone rate that is high already, ten times as much makes the head unstable."
    needs = ("by_gradient", "trains_backbone", "keeps_pretrained")

    multiplier: float = hyperparameter(10.0, 1.0, 100.0, log=True)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        if all(group.is_head for group in phase.train):
            return phase
        return phase.map_groups(lambda g: replace(g, lr=g.lr * self.multiplier) if g.is_head else g)
