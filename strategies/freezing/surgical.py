"""Surgical fine-tuning (Lee et al., 2023): tune one chosen stage, freeze all others.

Unlike in the paper, whose target classes are the source's, the head is new here, and so it trains too.
"""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class Surgical(Strategy):
    """Train a single stage and the head."""

    source = "Lee et al. 2023, arXiv:2210.11466"
    when = "The paper: input shifts (noise, blur) want the first stage tuned, output shifts the last; best at small n."
    against = "Which stage is right is known only afterwards, or from a search."

    stage: int = hyperparameter(0, 0, 4)
    lr: float = hyperparameter(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        if not 0 <= self.stage < len(model.stages):
            raise UserError(
                f"surgical: stage is {self.stage}, the backbone has stages 0..{len(model.stages) - 1}"
            )
        chosen = set(model.stages[self.stage].param_names)
        yield Phase(
            "model modification", task.epochs, model.groups(self.lr, only=lambda name, _: name in chosen)
        )
