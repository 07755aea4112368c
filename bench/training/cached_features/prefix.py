"""The frozen part of a network below a border, and the network run from there up.

Nothing is assumed about architectures (`bench.training.cached_features.border` finds the border). Above it the network runs
its own code: the modules below give, in place of their work, what they once gave for one image, and the border's module
gives the cached activations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.model import Model
from bench.models.types import Output
from bench.training.device import Precision

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""Largest difference of two ways to compute the same thing, as a share of the largest value."""

CLASSIFIER = "classifier"


class _Reached(Exception):
    """The border was reached: no need to run the rest of the network."""


class Prefix:
    """The frozen part of a model below `border`: a module's name, or `CLASSIFIER` for the classifier's input."""

    def __init__(
        self, model: Model, border: str, precision: Precision, stubbed: list[nn.Module], x: Tensor
    ) -> None:
        """stubbed: the modules below the border, none of them inside another. x: [b, 3, H, W], any images."""
        self.model, self.border, self.precision = model, border, precision
        self._dummy = x[:1]
        self._stubs: dict[nn.Module, Any] = {}
        if border != CLASSIFIER:
            self._stubs = _outputs_of(stubbed, lambda: self._still(self._dummy))
        with self.still():
            sample = self.activations(x)
        self._nhwc = sample.ndim == 4 and sample.is_contiguous(memory_format=torch.channels_last)
        self.row_bytes = sample[0].numel() * sample.element_size()
        self._above = self._maps_above()

    def activations(self, x: Tensor) -> Tensor:
        """x [B, 3, H, W] -> [B, ...] at the border. Within `still()`."""
        found: list[Tensor] = []

        def reached(activations: Tensor) -> None:
            found.append(activations)
            raise _Reached

        with suppress(_Reached), self._met(reached):
            self.model.net(x)
        return found[0]

    @contextmanager
    def _met(self, reached: Callable[[Tensor], None]) -> Iterator[None]:
        """While it lasts, `reached` gets the activations at the border of each forward pass."""
        if self.border == CLASSIFIER:
            with self.model.features_met(reached):
                yield
            return
        border = self.model.net.get_submodule(self.border)
        handle = border.register_forward_hook(lambda module, args, output: reached(output))
        try:
            yield
        finally:
            handle.remove()

    def pack(self, activations: Tensor) -> Tensor:
        """As rows to store: channels last where the network computes so."""
        return activations.permute(0, 2, 3, 1).contiguous() if self._nhwc else activations

    def unpack(self, rows: Tensor) -> Tensor:
        return rows.permute(0, 3, 1, 2) if self._nhwc else rows

    @contextmanager
    def still(self) -> Iterator[None]:
        """Eval mode, no gradients, the run's precision; modes are left as they were."""
        with self.model.in_eval_mode(), torch.no_grad(), self.precision.autocast():
            yield

    def observe(self, activations: Tensor, pixels: Callable[[], Tensor]) -> Output:
        """As `Model.observe` of the images whose activations these are; `pixels` gives them, should they be needed."""
        if self.border == CLASSIFIER:
            maps = _Maps({}, self._names(), lambda: self._below(pixels()))
            return Output(self.model.classifier(activations), activations.flatten(1), maps)
        seen: dict[str, Tensor] = {}
        features: list[Tensor] = []
        with self._replaced(activations), self.model.taps(seen, features):
            logits = self.model.net(self._dummy)
        above = {name: seen[name] for name in self._above}
        return Output(
            logits, features[0].flatten(1), _Maps(above, self._names(), lambda: self._below(pixels()))
        )

    def logits(self, activations: Tensor) -> Tensor:
        """[B, ...] -> [B, K], in the model's current mode."""
        if self.border == CLASSIFIER:
            logits: Tensor = self.model.classifier(activations)
            return logits
        with self._replaced(activations):
            logits = self.model.net(self._dummy)
        return logits

    def agrees(self, x: Tensor, activations: Tensor) -> bool:
        """Whether the images x [B, 3, H, W] and these activations of theirs lead to the same outputs."""
        with self.still():
            try:
                return close(self.logits(activations), self.model(x), TOLERANCE[self.precision.dtype])
            except (RuntimeError, ValueError, IndexError):  # something beside the border depends on the batch
                return False

    def fingerprint(self) -> str:
        """Digest of all that decides the activations but the images: architecture, weights, statistics."""
        digest = hashlib.sha256(repr(self.model.net).encode())
        for name, tensor in self._tensors():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()[:32]

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The frozen tensors that are not above the border, and a few that are."""
        trained = {id(p) for p in self.model.parameters() if p.requires_grad}
        heads = self.model.classifiers
        for name, module in self.model.net.named_modules():
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            if not any(id(tensor) in trained for _, tensor in own) and module not in heads:
                still = (
                    own if not module.training else [(n, t) for n, t in own if isinstance(t, nn.Parameter)]
                )
                yield from ((f"{name}.{key}", tensor) for key, tensor in still)

    def _names(self) -> list[str]:
        return self.model.map_names()

    def _maps_above(self) -> list[str]:
        names = self._names()
        return names[names.index(self.border) :] if self.border in names else []

    def _below(self, x: Tensor) -> dict[str, Tensor]:
        """The feature maps below the border: frozen, so they carry no gradient."""
        maps: dict[str, Tensor] = {}
        with self.still(), self.model.taps(maps, []):
            self.activations(x)
        return maps

    def _still(self, x: Tensor) -> None:
        with self.still():
            self.model.net(x)

    @contextmanager
    def _replaced(self, activations: Tensor) -> Iterator[None]:
        """Modules below the border repeat themselves, the border's gives `activations`."""
        modules = {**self._stubs, self.model.net.get_submodule(self.border): activations}
        for module, output in modules.items():
            module.__dict__["forward"] = _constant(output)  # past nn.Module.__setattr__, which is slow
        try:
            yield
        finally:
            for module in modules:
                del module.__dict__["forward"]


class _Maps(Mapping[str, Tensor]):
    """Feature maps of which those below the border are computed when somebody asks for them."""

    def __init__(
        self, above: dict[str, Tensor], names: list[str], below: Callable[[], dict[str, Tensor]]
    ) -> None:
        self._found, self._all, self._compute = above, names, below

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._found and name in self._all:
            self._found = {**self._compute(), **self._found}
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def _outputs_of(modules: list[nn.Module], run: Callable[[], object]) -> dict[nn.Module, Any]:
    outputs: dict[nn.Module, Any] = {}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        outputs[module] = output

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _constant(output: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: output


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    if a.shape != b.shape:
        return False
    scale = b.abs().max().clamp(min=1e-6)
    return bool(((a - b).abs().max() <= tolerance * scale).item())
