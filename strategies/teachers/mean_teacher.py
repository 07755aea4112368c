"""Mean Teacher (Tarvainen and Valpola, 2017): agree with a moving average of oneself on unlabelled images.

    loss = CE + w(t) mean_u mean_k (p_student(strong_u) - p_teacher(weak_u))^2,   w(t) = weight exp(-5 (1 - t / ramp)^2)
    teacher = d teacher + (1 - d) student  after each step,   d = min(1 - 1 / (step + 1), decay)

The teacher is what is evaluated, and what a run ends with, or each of several runs in a row; the phases of one run (their
spans) share a teacher, and only the last is evaluated by it. As in the authors' code only parameters are averaged: the
teacher runs in train mode, its BatchNorm layers on statistics of the weak views, which are those that it is evaluated with
(frozen layers keep theirs). Unlike there, the two views are a weak and a strong one instead of two of the same kind,
labelled images (which have one view) are left out of the agreement, and ramp is a share of the run.
"""

from math import exp

from bench.methods.api import (
    Batch,
    Model,
    Phase,
    Phases,
    Task,
    Tensor,
    Transform,
    hyperparameter,
    nn,
    replace,
    torch,
)
from strategies.shared.followers import Follower
from strategies.shared.progress import with_progress
from strategies.shared.unlabeled import views, with_unlabeled


class MeanTeacher(Transform):
    """Agree with the average of one's own past weights on unlabelled images; evaluate the average."""

    last = True
    source = "Tarvainen and Valpola 2017, arXiv:1703.01780"
    when = "The paper: many unlabelled images, and time for the average to pull ahead of the network."
    against = (
        "Over a few hundred steps a .999 average lags behind. Its best weight varies (the authors: 8 to 100)."
    )

    unlabeled: int = hyperparameter(1, 1, 7)
    decay: float = hyperparameter(0.999, 0.9, 0.9999)
    weight: float = hyperparameter(10.0, 1.0, 100.0, log=True)
    ramp: float = hyperparameter(0.25, 0.05, 1.0)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        teacher = None
        for phase in phases:
            if phase.preparation:
                yield phase
                continue
            if teacher is None or phase.span[0] == 0:  # phases that go on with a run go on with its teacher
                teacher = Follower(model.net, lambda step: min(1 - 1 / (step + 1), self.decay))
            yield self._taught(phase, task, teacher)

    def _taught(self, phase: Phase, task: Task, teacher: Follower[nn.Module]) -> Phase:
        phase, progress = with_progress(with_unlabeled(phase, "mean_teacher", self.unlabeled), task)

        def agree(model: Model, batch: Batch) -> Tensor:
            weak, strong = views(batch)
            with torch.no_grad():
                p: Tensor = teacher.in_mode_of(model.net)(weak).float().softmax(dim=-1)
            q = model(strong).float().softmax(dim=-1)
            return self.weight * self.risen(progress()) * (q - p).square().mean()

        phase = phase.add_term("mean_teacher", agree).after_step(teacher.follow_net)
        return replace(phase, eval_weights=teacher.module.state_dict) if phase.span[1] == 1 else phase

    def risen(self, t: float) -> float:
        return exp(-5 * (1 - t / self.ramp) ** 2) if t < self.ramp else 1.0
