"""Freeze by index of children: the first k modules of the network in the order in which it lists them."""

from itertools import islice

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class FreezeChildren(Strategy):
    """Freeze the first k children of the network that have parameters, train the rest and the head."""

    source = "document 004: `for i, child in enumerate(model.children()): if i < k: ...`"
    when = "Document 004, for networks whose children are their layers, such as torchvision's."
    against = "What a child is differs: a ViT's blocks are one. Parameters outside of any child (tokens) are not frozen."

    children: int = hyperparameter(2, 1, 6)
    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        owners = [child for child in model.net.children() if any(True for _ in child.parameters())]
        heads = sum(child in (*model.classifiers, *model.auxiliary) for child in owners)
        most = len(owners) - max(
            1, heads
        )  # a classifier within a child of other layers leaves that one to train
        if not 1 <= self.children <= most:
            raise UserError(
                f"freeze_children: children is {self.children}, but {type(model.net).__name__} has {len(owners)} with "
                f"parameters, the last of them the classifier: use 1..{most}"
            )
        frozen = {id(p) for child in islice(owners, self.children) for p in child.parameters()}
        yield Phase("rest", task.epochs, model.groups(self.lr, only=lambda _, p: id(p) not in frozen))
