"""DELTA (Li et al., 2019): keep the feature maps, each channel as far as the target needs it.

    loss = CE + alpha/2 sum_layers sum_b sum_c C a_c ||FM_c - FM0_c||^2 / (H W)  +  beta/2 ||head||^2

FM0: the pretrained network's maps of the same images. a = softmax(zscore(d) / 5), d_c the loss without channel c under a
head trained on the frozen network; that head is then thrown away. Without attention a = 1/C.

The maps are those of timm's feature stages (tokens count as positions); the authors take, on ResNets, the last convolution
of each of the four. The preparation costs a pass per channel through the layers above it, on `batches` batches.
"""

from typing import cast

from bench.methods.api import (
    Batch,
    Model,
    Phase,
    Phases,
    Task,
    Tensor,
    Transform,
    UserError,
    hyperparameter,
    torch,
)
from strategies.shared.maps import by_channel, channel_importance


class Delta(Transform):
    """Penalise changes of the feature maps, channel by channel."""

    source = "Li et al. 2019, arXiv:1901.09229; document 001"
    when = "Document 001 and the paper: small sets similar to the source; what the network sees is kept, weights are free."
    against = (
        "alpha depends on the size of a network's maps: the paper's, from ResNets, outweighs the loss 500-fold on "
        "MobileNetV2. A second forward pass per step, and with attention a long preparation on wide networks."
    )
    needs = ("by_gradient", "keeps_pretrained", "trains_backbone")
    excludes = {
        "weight_decay": "DELTA switches weight decay off and has its own penalty on the head",
        "trans_tailor": "a pruned network's maps have other channels than the pretrained one's",
    }

    alpha: float = hyperparameter(0.01, 1e-6, 1.0, log=True)
    beta: float = hyperparameter(0.01, 1e-4, 1.0, log=True)
    attention: bool = hyperparameter(True, choices=(True, False))
    head_lr: float = hyperparameter(1e-2, 1e-3, 1e-1, log=True)
    head_epochs: int = hyperparameter(10)
    batches: int = hyperparameter(4)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        maps = model.eval_output(next(task.batches(model, limit=1)).x).maps
        if not maps or not all(isinstance(fm, torch.Tensor) for fm in maps.values()):
            raise UserError(f"delta: timm gives no feature maps of {type(model.net).__name__}")
        importance: dict[str, Tensor] = {}
        if self.attention:
            names = (*model.head.param_names, *model.head.buffer_names)
            head = {name: tensor.clone() for name, tensor in model.state_dict().items() if name in names}
            groups = model.groups(self.head_lr, first=len(model.stages))
            yield Phase("attention", self.head_epochs, groups, preparation=True)
            importance = channel_importance(model, task, self.batches)
            model.load_state_dict(head, strict=False)  # the run starts from the head that others start from
        start = model.pretrained_copy()

        def delta(model: Model, batch: Batch) -> Tensor:
            kept = batch.recall(start, lambda x: start.observe(x).maps)
            changes = {
                n: by_channel(start, fm.float() - kept[n].float())
                for n, fm in batch.output(model).maps.items()
            }
            maps = sum((importance.get(n, 1.0) * d.square().mean(1)).sum() for n, d in changes.items())
            decay = sum(p.square().sum() for p in model.stage_parameters(model.head))
            return cast(Tensor, 0.5 * (self.alpha * maps + self.beta * decay))

        for phase in phases:
            yield phase if phase.preparation else phase.add_term("delta", delta)
