"""RegSL, distance-constrained fine-tuning (Li and Zhang, 2021): keep each layer within a distance of its pretrained self.

    after every step   w <- w0 + (w - w0) min(1, D / ||w - w0||_F)    for each weight tensor of the backbone

D = distance * ||w0||_F here: the paper gives each layer a distance of its own, found by search; relative to the norm, one
hyperparameter serves all layers. The paper's second part, self-labelling of noisy labels, is another matter and left out.
"""

from bench.methods.api import Model, Phase, Task, Transform, hyperparameter, torch


class RegSL(Transform):
    """Project each weight tensor to a ball around its pretrained value after every step."""

    source = "Li and Zhang 2021, arXiv:2111.04578"
    when = "The paper: a constraint generalises better than a penalty; few or noisy labels."
    against = "Weights at the border make no progress outwards; the right radius differs between datasets."
    needs = ("by_gradient", "keeps_pretrained", "moves_weights")

    distance: float = hyperparameter(0.1, 0.01, 1.0, log=True)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        trained = {id(p) for p in phase.params}
        pairs = [
            (p, model.pretrained[n], self.distance * float(model.pretrained[n].norm()))
            for n, p in model.named_parameters()
            if id(p) in trained and n in model.pretrained and p.ndim > 1
        ]

        def project(model: Model) -> None:
            with torch.no_grad():
                for w, start, radius in pairs:
                    norm = (w - start).norm().clamp(min=1e-12)
                    w.copy_(start + (w - start) * (radius / norm).clamp(max=1.0))

        return phase.after_step(project)
