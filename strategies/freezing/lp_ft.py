"""LP-FT (Kumar et al., 2022): linear probe first, then full fine-tuning from that head.

A random head sends large, arbitrary gradients into the pretrained features and distorts them; from a trained one they
stay close. The paper's probe is trained to convergence; here it takes gradient steps for a share (half, by
default) of the budget that all strategies have. Each of the two phases runs through the learning-rate schedule.
"""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class LPFT(Strategy):
    """Linear probe for a share of the budget, then everything from that head at a small rate."""

    source = "Kumar et al. 2022, arXiv:2202.10054"
    when = "The paper: good features and a shifted test set; at small n at least as good as full fine-tuning."
    against = (
        "Half the epochs train the head alone; its larger norm harms calibration (Tomihari and Sato 2024)."
    )

    probe_lr: float = hyperparameter(1e-1, 1e-3, 1.0, log=True)
    lr: float = hyperparameter(3e-3, 1e-5, 1e-1, log=True)
    probe_share: float = hyperparameter(0.5, 0.1, 0.8)

    def phases(self, model: Model, task: Task) -> Phases:
        if task.epochs < 2:
            raise UserError(
                "lp_ft: one epoch cannot be shared by probe and fine-tuning; set train.epochs to 2 or more"
            )
        probe = min(max(1, round(self.probe_share * task.epochs)), task.epochs - 1)
        yield Phase("probe", probe, model.groups(self.probe_lr, first=len(model.stages)))
        yield Phase("tune", task.epochs - probe, model.groups(self.lr))
