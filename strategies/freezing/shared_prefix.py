"""Parameter sharing: keep the first k pretrained stages as they are, re-initialise the others and train them."""

from bench.methods.api import Model, Phase, Phases, Strategy, Task, UserError, hyperparameter


class SharedPrefix(Strategy):
    """Share the first k stages, frozen; train new random weights in all stages above."""

    source = "document 000; Yosinski et al. 2014, arXiv:1411.1792 (frozen transfer, AnB)"
    when = "Document 000's outlook: where only the low-level features are thought to carry over."
    against = "Yosinski et al.: cutting between co-adapted layers loses accuracy that fine-tuning them keeps."

    excludes = {
        name: "it pulls towards pretrained weights that the upper stages have thrown away"
        for name in ("l2_sp", "delta", "reg_sl", "lwf", "co_tuning")
    }
    excludes |= {
        name: "the upper stages have no pretrained statistics of normalisation left"
        for name in ("keep_norm_stats", "stoch_norm")
    }
    excludes |= {
        name: "all that trains starts from random weights, none of it nearer to its goal than the head"
        for name in ("head_x10", "llrd", "discriminative")
    }

    k: int = hyperparameter(2, 1, 4)
    lr: float = hyperparameter(3e-2, 1e-3, 1.0, log=True)

    def phases(self, model: Model, task: Task) -> Phases:
        if not 1 <= self.k < len(model.stages):
            raise UserError(
                f"shared_prefix: k is {self.k}, use 1..{len(model.stages) - 1} (0 would be scratch)"
            )
        model.reinitialise(first=self.k)
        yield Phase("rest", task.epochs, model.groups(self.lr, first=self.k))
