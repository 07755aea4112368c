"""Freeze by parameter name: every parameter of the backbone whose name matches a regular expression."""

import re

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class FreezePattern(Strategy):
    """Freeze the backbone's parameters whose timm name matches a pattern, train the rest and the head."""

    source = "document 004: `for name, p in model.named_parameters(): if name.startswith(...)`"
    when = (
        "Document 004: to freeze exactly what one means. The default freezes the stem of most timm networks."
    )
    against = "Names differ between architectures, so one pattern rarely means the same on two of them."

    pattern: str = hyperparameter(r"^(conv1|bn1|conv_stem|stem|patch_embed)\b")
    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        try:
            matches = re.compile(self.pattern).search
        except re.error as error:
            raise UserError(
                f"freeze_pattern: {self.pattern!r} is not a regular expression: {error}"
            ) from None
        names = [name.removeprefix("net.") for stage in model.stages for name in stage.param_names]
        frozen = sum(matches(name) is not None for name in names)
        if not 0 < frozen < len(names):
            what = "every parameter" if frozen else "no parameter"
            raise UserError(
                f"freeze_pattern: {self.pattern!r} matches {what} of the backbone ({', '.join(names[:3])}, ...)"
            )
        keep = model.groups(self.lr, only=lambda name, _: matches(name.removeprefix("net.")) is None)
        yield Phase("rest", task.epochs, keep)
