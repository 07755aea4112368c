"""Bi-Tuning (Zhong et al., 2020): contrast images by class, features with the head and projected features with each other.

    loss = CE + weight (KL_z + KL_y),   KL = mean_i KL(u_i || softmax(s_i / T)),   s_i over own key and queue:
    z: <z_i, z_own>, <z_i, z_k>     y: <h_i, w_c>, <h_k, w_c>,   c the image's class

u_i: equal mass on its own key and the queued keys of class c. h: features with a 1 appended; w: the head's weights with
their bias, detached; z: projected features; all of unit length. Keys are made by a copy of the network that follows it by
momentum, the newest `queue` of each class are kept. As in the authors' code (TLlib), but: an image's own key is of the
same view, where they draw a second one; the queue starts empty, not random, with u over as many keys as there are; both
terms see it as it was before the batch. Phases that train the head alone are left as they are.
"""

from functools import partial

from bench.methods.api import Batch, Model, Phases, Task, Tensor, Transform, hyperparameter, torch
from strategies.shared.followers import Follower
from strategies.shared.keys import PROJECTOR, Keys, divergence, encode, with_one


class BiTuning(Transform):
    """Supervised contrast of features with the classifier's weights and, projected, with each other."""

    source = "Zhong et al. 2020, arXiv:2011.06182"
    when = "TLlib's table: 1 to 7 points above plain fine-tuning on CUB, Cars and Aircraft, the best there at full size."
    against = "A second forward pass per step. With few images the queue holds the same ones over and over."
    needs = ("by_gradient", "trains_backbone")
    excludes = {name: "a mixture of images belongs to no one class" for name in ("mixup", "cutmix")}

    weight: float = hyperparameter(1.0, 0.1, 3.0, log=True)
    queue: int = hyperparameter(40, 8, 64)
    temperature: float = hyperparameter(0.07, 0.03, 0.5, log=True)
    momentum: float = hyperparameter(0.999, 0.9, 0.9999)
    dim: int = hyperparameter(128)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        device = model.linear("bi_tuning").weight.device
        keys = None
        for phase in phases:
            if phase.preparation or all(group.is_head for group in phase.train):
                yield phase
                continue
            if keys is None or phase.span[0] == 0:  # phases that go on with a run go on with its keys
                if PROJECTOR not in model.extra:
                    projector = torch.nn.Linear(model.feature_dim, self.dim)
                    model.extra[PROJECTOR] = projector.to(device)
                keys = Keys(Follower(model, lambda step: self.momentum), self.queue)
            phase = phase.add_group(PROJECTOR, list(model.extra[PROJECTOR].parameters()))
            yield phase.add_term("bi_tuning", partial(self.contrast, keys)).after_step(keys.renew)

    def contrast(self, keys: Keys, model: Model, batch: Batch) -> Tensor:
        h, z = encode(model, batch.output(model).features)
        with torch.no_grad():
            _, own_z = keys.make(model, batch)
            head = model.linear("bi_tuning")
            w = with_one(head.weight, head.bias)
        queued_h, queued_z, queued_y = keys.queue
        same = queued_y == batch.y[:, None]
        kl_z = divergence((z * own_z).sum(dim=1), z @ queued_z.T, same, self.temperature)
        kl_y = divergence((h * w[batch.y]).sum(dim=1), (w @ queued_h.T)[batch.y], same, self.temperature)
        return self.weight * (kl_z + kl_y)
