"""What one optimisation step sees. Torch-free until a batch is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bench.core.lazy_torch import Tensor, torch
from bench.models.types import Output

if TYPE_CHECKING:
    from bench.models.model import Model


class Images(Protocol):
    """Images of a batch that come in few views: what was once made of a view can be kept."""

    def pixels(self) -> Tensor:
        """[B, 3, H, W] float, normalised."""
        ...

    def output(self, model: Model) -> Output | None:
        """The forward pass of `model` from what is cached; None where nothing of it is."""
        ...

    def recall(
        self, owner: object, compute: Callable[[Tensor], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        """compute(pixels()), or what it gave for the same views before."""
        ...


@dataclass(frozen=True)
class Batch:
    """What one optimisation step sees.

    images: [B, 3, H, W] float, normalised; read them as `x`. y: [B] int64 labels. target: [B, K] probabilities of the
    classes (changed by label smoothing and mixup; losses use it, not y). weight: [B] per-image weights of the loss (one
    unless the study asks for a class-balanced loss). index: [B] int64 positions in `task.train`. weak, strong: [U, 3, H,
    W] two views of unlabelled images, in phases that ask for them.
    """

    images: Tensor | Images
    y: Tensor
    target: Tensor
    weight: Tensor
    index: Tensor | None = None
    weak: Tensor | None = None
    strong: Tensor | None = None
    _outputs: dict[int, Output] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def x(self) -> Tensor:
        """[B, 3, H, W] float, normalised."""
        return self.images if isinstance(self.images, torch.Tensor) else self.images.pixels()

    def output(self, model: Model) -> Output:
        """The forward pass of x, done once a step and shared by all terms of the loss."""
        if id(model) not in self._outputs:
            cached = None if isinstance(self.images, torch.Tensor) else self.images.output(model)
            self._outputs[id(model)] = model.observe(self.x) if cached is None else cached
        return self._outputs[id(model)]

    def forget(self) -> None:
        """Let go of what was computed, before the step is done again."""
        self._outputs.clear()

    def recall(
        self, owner: object, compute: Callable[[Tensor], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        """compute(x), without gradients, kept from epoch to epoch where the images come in few views.

        For networks that do not change, such as a frozen reference: compute: [B, 3, H, W] -> named tensors [B, ...],
        each row of its own image alone, always the same for it. owner: tells one such computation from another.
        """
        if isinstance(self.images, torch.Tensor):
            with torch.no_grad():
                return compute(self.images)
        return self.images.recall(owner, compute)
