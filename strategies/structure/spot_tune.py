"""SpotTune (Guo et al., 2019): for each image and block, a policy network picks the frozen or the fine-tuned copy.

    x_{l+1} = I_l(x) F_l(x_l) + (1 - I_l(x)) T_l(x_l),   I_l(x) ~ Gumbel-softmax(policy(x)), straight through, T = 5

F_l is the pretrained block, T_l a trained copy of it; what is in no block is fine-tuned as usual. Unlike the authors'
code, the frozen copies are frozen with their normalisation, the policy decides by argmax in tests instead of drawing,
and is a network of three convolutions rather than three residual blocks. Both copies are computed for every image.
"""

from typing import Any

from bench.methods.api import Group, Model, Phase, Phases, Strategy, Task, UserError, hyperparameter, torch


class SpotTune(Strategy):
    """Fine-tune or keep each block, decided for each image by a policy network that trains along."""

    source = "Guo et al. 2019, arXiv:1811.08737"
    when = "The paper: no one choice of frozen layers fits all images of a task; ahead of fine-tuning on most of its sets."
    against = "Twice the parameters and FLOPs, in tests too; the paper's rates are for 110 epochs."

    lr: float = hyperparameter(1e-1, 1e-3, 1.0, log=True)
    policy_lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)
    temperature: float = hyperparameter(5.0)

    def phases(self, model: Model, task: Task) -> Phases:
        if self.temperature <= 0:
            raise UserError(f"spot_tune: temperature is {self.temperature}, but must be above 0")
        policy = double(model, self.temperature)
        others = {id(parameter) for parameter in policy.parameters()}
        groups = model.groups(self.lr, only=lambda name, p: ".frozen." not in name and id(p) not in others)
        yield Phase(
            "spots", task.epochs, [*groups, Group(list(policy.parameters()), self.policy_lr, name="policy")]
        )


def double(model: Model, temperature: float) -> Any:
    """Puts two copies in the place of each block, and before the network the policy, which is returned."""
    from strategies.layers.blocks import block_names, is_composite
    from strategies.layers.spot_tune import Policy, Spot

    net = model.net
    stages = [name for name in model.map_names() if is_composite(net.get_submodule(name))]
    names = block_names(net) or stages
    if not names:
        raise UserError(f"spot_tune: {type(net).__name__} has no blocks that could be doubled")

    def split(net: Any) -> None:
        for i, name in enumerate(names):
            net.set_submodule(name, Spot(net.get_submodule(name), i))

    model.modify(split)
    device = next(model.parameters()).device
    policy = Policy(len(names), temperature).to(device)
    for name in names:
        spot = net.get_submodule(name)
        assert isinstance(spot, Spot)
        spot.policy = (policy,)
    net.add_module("policy", policy)
    net.register_forward_pre_hook(policy.decide)
    net.register_forward_hook(policy.forget)
    model.restructured()
    try:
        model.eval_output(torch.zeros(1, 3, model.image_size, model.image_size, device=device))
    except Exception as error:  # blocks that hand on more than one tensor
        raise UserError(
            f"spot_tune: the blocks of {type(net).__name__} cannot be doubled: {error}"
        ) from error
    return policy
