"""BSS, batch spectral shrinkage (Chen et al., 2019): push the smallest singular values of the features to zero.

    loss = CE + eta sum of the k smallest sigma_i(F)^2,   F: [B, D] features of the batch

The directions with the smallest singular values are those that transfer badly.
"""

from bench.methods.api import Batch, Model, Phase, Task, Tensor, Transform, UserError, hyperparameter, torch


class BSS(Transform):
    """Penalise the smallest singular values of the batch's features."""

    source = "Chen et al. 2019, Catastrophic Forgetting Meets Negative Transfer, NeurIPS"
    when = "The paper: little data (15 % of CUB, Cars, Aircraft), in addition to any other regulariser."
    against = "Gains of one or two points in the paper shrink with the amount of data; what is smallest depends on B."
    needs = ("by_gradient", "trains_backbone")

    eta: float = hyperparameter(1e-3, 1e-5, 1e-1, log=True)
    k: int = hyperparameter(1, 1, 4)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        if self.k < 1:
            raise UserError(f"bss: k is {self.k}, but at least one singular value must shrink")

        def bss(model: Model, batch: Batch) -> Tensor:
            features = batch.output(model).features
            if not features.requires_grad:
                return features.new_zeros(())  # a phase that trains the head alone
            # the SVD takes no half precision, and fails on what is not finite, which the loop reports better
            features = features.float().nan_to_num(0.0, 0.0, 0.0)
            smallest: Tensor = torch.linalg.svdvals(features)[-self.k :]
            return self.eta * smallest.square().sum()

        return phase.add_term("bss", bss)
