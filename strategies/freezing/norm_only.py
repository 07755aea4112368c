"""Norm-only tuning (Mudrakarta et al., 2019; Frankle et al., 2021): only normalisation layers and the head train.

Scale and shift of every BatchNorm, LayerNorm or GroupNorm, found as modules that have "Norm" in the name of their class.
BatchNorm's statistics follow the target: it is these layers that are not frozen.
"""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class NormOnly(Strategy):
    """Train the affine parameters of normalisation layers, and the head."""

    source = "Mudrakarta et al. 2019, arXiv:1810.10703; Frankle et al. 2021, arXiv:2003.00152"
    when = "A new domain (light, contrast, texture) with the same objects; thousands of tasks on one shared backbone."
    against = (
        "About one parameter in a thousand moves: short of full fine-tuning wherever data suffice for that."
    )

    lr: float = hyperparameter(1e-2, 1e-4, 1.0, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        norms = {
            id(p)
            for module in model.modules()
            if "Norm" in type(module).__name__
            for p in module.parameters(recurse=False)
        }
        groups = model.groups(self.lr, only=lambda _, p: id(p) in norms)
        if all(group.is_head for group in groups):
            raise UserError(
                f"norm_only: {type(model.net).__name__} has no normalisation layer with parameters"
            )
        yield Phase("norms", task.epochs, groups)
