"""A timm network as strategies see it: stages from stem to last, a head, and the weights it started from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.core.errors import NeedsWeights, UserError
from bench.models import passes
from bench.models.checkpoints.load_report import LoadReport
from bench.models.classifiers import LinearMap, as_one, in_place_of, met, width
from bench.models.stages import Stage, auxiliary_modules, beyond_features, classifier_modules, split
from bench.models.strided import without_strides
from bench.models.types import Group, Output

__all__ = ["Model", "Stage"]


class _Shared(dict[str, Tensor]):
    """Tensors that nobody writes to: copies of a model share them instead of copying."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


def renew(head: nn.Module) -> None:
    """Gives a classifier torch's default initialisation, U(-1/sqrt(D), 1/sqrt(D)), whatever the architecture.

    Trap: some constructors draw it from the number of classes instead (timm's EfficientNets and MobileNets from
    U(-1/sqrt(K), 1/sqrt(K))). On D = 1280 features and few classes the first loss is then near 6 instead of ln K,
    and its gradient spoils the pretrained backbone.
    """
    for layer in head.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.reset_parameters()


def no_source_head() -> nn.Module:
    raise NeedsWeights("the backbone comes without the classifier that it was pretrained with")


class Model(nn.Module):
    """Wraps a timm net. Parameter names, in stages too, are as in `named_parameters()`: "net.<timm's name>".

    stages: backbone, from the stem up. head: the classifier alone. extra: modules that a method adds for training only;
    they are in no stage. pretrained: the backbone's tensors, buffers too, by name as they were loaded (L2-SP's w0); it
    follows the model to its device, is no part of `state_dict()`, and stays what it was when weights are
    reinitialised. source_head: makes the classifier of the pretraining, on its device of loading (the CPU).
    """

    pretrained: dict[str, Tensor]

    def __init__(
        self,
        net: nn.Module,
        create: Callable[[], nn.Module],
        num_classes: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        image_size: int,
        load_report: LoadReport,
        source_head: Callable[[], nn.Module] = no_source_head,
        shared_features: bool = True,
    ) -> None:
        """`create` builds another net of the same architecture with fresh random weights.

        shared_features: where `net` has several classifiers, whether all take the same features.
        """
        super().__init__()
        self.net = net
        self.extra = nn.ModuleDict()
        self._create = create
        self._load_source_head = source_head
        self.num_classes = num_classes
        self.mean, self.std, self.image_size = mean, std, image_size
        self.load_report = load_report
        self.shared_features = shared_features
        self.on_new_head: Callable[[Model], None] | None = None  # applied to every head drawn from now on
        self.restructured()
        self._remember()

    def restructured(self) -> None:
        """To be called after modules of `net` were replaced: finds its stages and head anew."""
        without_strides(self.net)
        self.stages, self.head = split(self.net, prefix="net.")

    def modify(self, modification: Callable[[nn.Module], object]) -> None:
        """Changes the structure of `net`, and `pretrained` in the same way.

        modification(net): works in place, alike on the net as it is and on one with the pretrained weights.
        """
        reference = self.pretrained_copy()
        for model in (reference, self):
            modification(model.net)
            model.restructured()
        reference._remember()
        self.pretrained = reference.pretrained

    def _remember(self) -> None:
        tensors = dict([*self.named_parameters(), *self.named_buffers()])
        backbone = [name for stage in self.stages for name in (*stage.param_names, *stage.buffer_names)]
        self.pretrained = _Shared({name: tensors[name].detach().clone() for name in backbone})

    def forward(self, x: Tensor) -> Tensor:
        """x [B, 3, H, W] -> logits [B, K]."""
        logits: Tensor = passes.run(self, lambda x, _: self.net(x), x)
        return logits

    if TYPE_CHECKING:  # torch's takes and gives anything

        def __call__(self, x: Tensor) -> Tensor: ...

    def observe(self, x: Tensor) -> Output:
        """x [B, 3, H, W] -> logits with what they were made of, in one pass, in the model's current mode."""
        return passes.run(self, self._observe, x)

    def _observe(self, x: Tensor, part: slice) -> Output:
        maps: dict[str, Tensor] = {}
        features: list[Tensor] = []
        with self.taps(maps, features):
            logits = self.net(x)
        return Output(logits, features[0].flatten(1), maps)

    @contextmanager
    def taps(self, maps: dict[str, Tensor], features: list[Tensor]) -> Iterator[None]:
        def tap(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            def hook(module: nn.Module, args: Any, output: Tensor) -> None:
                maps[name] = output

            return hook

        handles = [self.net.get_submodule(name).register_forward_hook(tap(name)) for name in self.map_names()]
        try:
            with self.features_met(features.append):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def map_names(self) -> list[str]:
        """The modules whose outputs timm takes for features, from stem to top; empty where it names none.

        Not the empty sequences that timm leaves in the place of stages that were cut off.
        """
        info = getattr(self.net, "feature_info", None) or []
        modules = {n: m for n, m in self.net.named_modules() if not isinstance(m, nn.Sequential) or len(m)}
        return [entry["module"] for entry in info if entry["module"] in modules]

    def see(self, x: Tensor, other: Model) -> Tensor:
        """Logits for images that are normalised for `other`, which may have another mean and spread."""
        if (self.mean, self.std) == (other.mean, other.std):
            return self(x)
        mean, std, other_mean, other_std = (
            x.new_tensor(values)[:, None, None] for values in (self.mean, self.std, other.mean, other.std)
        )
        return self((x * other_std + other_mean - mean) / std)

    def features_met(self, then: Callable[[Tensor], None]) -> AbstractContextManager[None]:
        """While it lasts, `then` gets what the classifier takes, of each forward pass, as soon as it is there."""
        return met(self.classifiers, self.shared_features, then)

    @property
    def classifiers(self) -> list[nn.Module]:
        """The network's own modules whose outputs are logits: one, or several whose mean the network gives."""
        return classifier_modules(self.net)

    @property
    def auxiliary(self) -> list[nn.Module]:
        """Classifiers beside those, whose outputs the network puts to a use of its own. They are head, as those are."""
        return auxiliary_modules(self.net)

    @property
    def classifier(self) -> nn.Module:
        """What turns features into logits: [B, D] -> [B, K]; a `Joint` of the classifiers where there are several.

        Raises `UserError` where features alone do not decide the logits.
        """
        self._refuse_more()
        return as_one(self.classifiers, self.shared_features)

    def linear(self, name: str) -> LinearMap:
        """The classifier as one linear map of the features.

        Raises `UserError`, in the name of a strategy, where it is another one or features alone do not decide the logits.
        """
        self._refuse_more()
        found = LinearMap.of(self.classifiers, self.shared_features)
        if found is None:
            kinds = " and a ".join(type(head).__name__ for head in self.classifiers)
            raise UserError(f"{name}: the head is a {kinds}, but must be one linear layer with a bias")
        return found

    @property
    def beyond_features(self) -> str:
        """What makes the logits besides the classifier's features; "" where these alone decide them."""
        return beyond_features(self.net)

    def _refuse_more(self) -> None:
        if more := self.beyond_features:
            kind = type(self.net).__name__
            raise UserError(f"{kind} makes its logits of more than its classifier's features: {more}")

    @property
    def feature_dim(self) -> int:
        """D, the number of features that the classifier takes."""
        return width(as_one(self.classifiers, self.shared_features))

    @torch.no_grad()
    def eval_output(self, x: Tensor) -> Output:
        """`observe` in eval mode and without gradients: for measurements between phases. Modes are left as they were."""
        with self.in_eval_mode():
            return self.observe(x)

    @contextmanager
    def in_eval_mode(self) -> Iterator[None]:
        """All modules in eval mode within; modes are put back."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True

    def pretrained_copy(self) -> Model:
        """A frozen copy in eval mode whose backbone is as it was loaded (the head is as it is now)."""
        reference = copy.deepcopy(self)
        tensors = dict([*reference.named_parameters(), *reference.named_buffers()])
        with torch.no_grad():
            for name, value in self.pretrained.items():
                tensors[name].copy_(value)
        return reference.requires_grad_(False).eval()

    def source_head(self) -> nn.Module:
        """The frozen classifier of the pretraining, on features: [B, D] -> [B, source classes].

        Raises `UserError` where the weights came without one, or features do not decide its logits.
        """
        self._refuse_more()
        head = self._load_source_head().requires_grad_(False).eval()
        return head.to(next(self.parameters()).device)

    def stage_parameters(self, stage: Stage) -> list[nn.Parameter]:
        return [self.get_parameter(name) for name in stage.param_names]

    def fresh(self) -> nn.Module:
        """Another net of the same architecture with new random weights, as it was before anything changed it."""
        return self._create()

    def groups(
        self, lr: float, first: int = 0, only: Callable[[str, nn.Parameter], bool] | None = None
    ) -> list[Group]:
        """A group per stage from index `first` up, and the head, all at `lr`.

        only: takes (name, parameter); parameters of the backbone for which it is false stay frozen. Raises `UserError`
        where `first` is not in 0..number of stages (which leaves only the head).
        """
        self._check_first(first)
        groups = []
        for stage in (*self.stages[first:], self.head):
            params = [
                p
                for name, p in zip(stage.param_names, self.stage_parameters(stage), strict=True)
                if stage is self.head or only is None or only(name, p)
            ]
            if params:
                groups.append(Group(params, lr, name=stage.name))
        return groups

    @torch.no_grad()
    def reinitialise(self, first: int = 0) -> None:
        """Weights and buffers of the stages from index `first` up, and of the head, become fresh random ones.

        They are drawn from torch's current random state, as the architecture's constructor does;
        `reinitialise()` is training from scratch. The tensors stay the same objects. Raises `UserError` like
        `groups`.
        """
        self._check_first(first)
        fresh = self._create()
        tensors = dict([*self.named_parameters(), *self.named_buffers()])
        fresh_tensors = dict([*fresh.named_parameters(prefix="net"), *fresh.named_buffers(prefix="net")])
        for head in (*self.classifiers, *self.auxiliary):
            renew(head)
        for stage in (*self.stages[first:], self.head):
            for name in (*stage.param_names, *stage.buffer_names):
                own, drawn = tensors[name], fresh_tensors.get(name)
                if stage is self.head and (drawn is None or drawn.shape != own.shape):
                    continue  # a head that a method has put in the old one's place is renewed only
                own.copy_(fresh_tensors[name])
        if self.on_new_head:
            self.on_new_head(self)

    def replace_head(self, make: Callable[[nn.Module], nn.Module]) -> None:
        """Puts make(head) ([B, d] -> [B, K]) in the place of each classifier, which takes d features.

        Raises `UserError` where features alone do not decide the logits.
        """
        self._refuse_more()
        device = next(self.parameters()).device
        names = {id(module): name for name, module in self.net.named_modules()}
        for head in self.classifiers:
            new = in_place_of(head, make(head)).to(device)
            self.net.set_submodule(names[id(head)], new)
        self.restructured()
        if self.on_new_head:
            self.on_new_head(self)

    @staticmethod
    def features_taken(head: nn.Module) -> int:
        """The number of features that a classifier takes, of this network or of its pretraining."""
        return width(head)

    def _check_first(self, first: int) -> None:
        if not 0 <= first <= len(self.stages):
            names = f"{self.stages[0].name}..{self.stages[-1].name}"
            raise UserError(f"first stage is {first}, but the model has {len(self.stages)} stages ({names})")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Model:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.pretrained = _Shared({name: fn(tensor) for name, tensor in self.pretrained.items()})
        return self
