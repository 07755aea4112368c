"""Label smoothing (Szegedy et al., 2016): target = (1 - eps) * one-hot + eps / K."""

from bench.methods.api import Batch, Model, Phase, Task, Transform, hyperparameter, replace


class LabelSmoothing(Transform):
    """Move a share of the target's probability to all classes evenly."""

    source = "Szegedy et al. 2016, arXiv:1512.00567"
    when = "Standard in training from scratch; calibrates."
    against = (
        "Transfers worse as a pretraining loss (Kornblith et al. 2021); at fine-tuning the effect is small."
    )

    smoothing: float = hyperparameter(0.1, 0.01, 0.3)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        def smooth(batch: Batch) -> Batch:
            return replace(
                batch, target=batch.target * (1 - self.smoothing) + self.smoothing / task.num_classes
            )

        return phase.map_batch(smooth)
