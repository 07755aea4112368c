"""Distillation (Hinton, Vinyals, Dean, 2015): learn from a teacher's softened outputs as well as from the labels.

    loss = (1 - a) CE + a T^2 KL(softmax(t(x) / T) || softmax(s(x) / T))

T^2 keeps the gradient of the second term as large as that of the first whatever T is. The teacher t is a network that was
fully fine-tuned on the same training images: of another architecture, or the student's own (born-again networks). It is
frozen, in eval mode, and sees the student's augmented images.
"""

from bench.methods.api import (
    Batch,
    Model,
    Phase,
    Phases,
    Task,
    Tensor,
    Transform,
    UserError,
    hyperparameter,
    replace,
    torch,
)


class Distill(Transform):
    """Match the softened outputs of a fine-tuned teacher, by default of the same architecture."""

    source = "Hinton et al. 2015, arXiv:1503.02531; Furlanello et al. 2018, arXiv:1805.04770; document 000"
    when = "A larger network that is too costly to deploy knows the task better; the same one again gains a little too."
    against = (
        "The teacher has to be trained first (teacher_seconds); one that overfitted says what the labels say."
    )

    teacher: str = hyperparameter("")
    teacher_lr: float = hyperparameter(
        1e-2
    )  # no range: every value searched would train a teacher, outside the budget
    alpha: float = hyperparameter(0.5, 0.1, 0.9)
    temperature: float = hyperparameter(4.0, 1.0, 10.0)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        if self.alpha > 1 or self.temperature <= 0:
            raise UserError(
                f"distill: alpha is {self.alpha}, temperature {self.temperature}: use 0..1, and more than 0"
            )
        teacher = task.teacher()
        for phase in phases:
            yield phase if phase.preparation else self._taught(phase, teacher)

    def _taught(self, phase: Phase, teacher: Model) -> Phase:
        def loss(model: Model, batch: Batch) -> dict[str, Tensor]:
            with torch.no_grad():
                p = (teacher.see(batch.x, model).float() / self.temperature).softmax(dim=-1)
            log_q = (batch.output(model).logits.float() / self.temperature).log_softmax(dim=-1)
            kl = torch.nn.functional.kl_div(log_q, p, reduction="none").sum(dim=-1)
            mean = (batch.weight * kl).sum() / batch.weight.sum()
            terms = phase.loss(model, batch)
            return {
                **terms,
                "ce": (1 - self.alpha) * terms["ce"],
                "distill": self.alpha * self.temperature**2 * mean,
            }

        return replace(phase, loss=loss)
