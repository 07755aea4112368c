"""Co-Tuning (You et al., 2020): the target's labels, translated to source classes, also train the kept source head.

    loss = CE + strength * soft CE(target @ R, softmax(source head(features))),   R[t, s] = p(source s | target t)

R is the paper's direct estimate, the mean source softmax of each target class, on the unaugmented training images. With
`calibrated`, Bayes' rule: p(t | s) by logistic regression from source softmax to target class, its C chosen and its
temperature fitted on the validation images, times p(s), the mean source softmax. Left out: the temperature (0.88) by which
the authors calibrate their ResNet-50 on source images. The source head trains along, at the backbone's rate.
"""

from bench.methods.api import Batch, Model, Phases, Task, Tensor, Transform, hyperparameter, torch
from strategies.shared.source_head import keep_source_head, soft_cross_entropy, source_logits, train_along


class CoTuning(Transform):
    """Train the kept source classifier too, on what each target class looks like to it."""

    source = "You et al. 2020, NeurIPS (Co-Tuning for Transfer Learning)"
    when = "The paper: from a source of many classes, on small and middling sets; the best of TLlib's table at 15 %."
    against = "Needs the pretraining's classifier, and source classes that resemble the target's."
    needs = ("by_gradient", "keeps_pretrained", "trains_backbone")
    excludes = {
        "lwf": "both train the one kept source head, towards different targets",
        "truncate": "the source head reads features that truncation has cut off",
        "trans_tailor": "the source head reads features that pruning has removed",
    }

    strength: float = hyperparameter(2.3, 0.1, 10.0, log=True)
    calibrated: bool = hyperparameter(False, choices=(True, False))

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        head = keep_source_head("co_tuning", model)
        train, val = task.disjoint if self.calibrated else (task.train, task.val)
        p = source_logits(head, train, model, task).softmax(dim=-1)
        if self.calibrated:
            p_val = source_logits(head, val, model, task).softmax(dim=-1)
            relation = bayes(p, train.y, p_val, val.y, task.num_classes)
        else:
            relation = class_means(p, train.y, task.num_classes)

        def co_tuning(model: Model, batch: Batch) -> Tensor:
            logits = head(batch.output(model).features)
            return self.strength * soft_cross_entropy(batch.target @ relation, logits)

        for phase in phases:
            yield train_along(phase, head, "co_tuning", co_tuning)


def class_means(p: Tensor, y: Tensor, classes: int) -> Tensor:
    """[classes, S]: the mean over each class of p [N, S]; zero for a class without images."""
    of = torch.nn.functional.one_hot(y, classes).to(p)
    return of.T @ p / of.sum(0).clamp(min=1)[:, None]


def bayes(p: Tensor, y: Tensor, p_val: Tensor, y_val: Tensor, classes: int) -> Tensor:
    """[classes, S]: p(s | t) from a calibrated p(t | s). p, p_val: [N, S] source softmax, y, y_val: [N] target labels."""
    from scipy.optimize import minimize_scalar
    from sklearn.linear_model import LogisticRegression

    grid = [10.0**c for c in range(-4, 5)]
    fits = [LogisticRegression(C=c, fit_intercept=False, max_iter=1000).fit(p.cpu(), y) for c in grid]
    best = max(fits, key=lambda fit: fit.score(p_val.cpu(), y_val))
    log_q = torch.from_numpy(best.predict_log_proba(p_val.cpu()))
    known = y_val[:, None] == torch.from_numpy(best.classes_)

    def nll(scale: float) -> float:
        return -(scale * log_q).log_softmax(-1)[known].mean().item()

    scale = minimize_scalar(nll, bounds=(0.01, 100), method="bounded").x
    log_t = torch.from_numpy(best.predict_log_proba(torch.eye(p.shape[1])))  # [S, classes seen]
    joint = (scale * log_t).softmax(-1).T * torch.cat([p, p_val]).mean(0).double().cpu()
    relation = p.new_zeros(classes, p.shape[1])
    relation[best.classes_] = (joint / joint.sum(1, keepdim=True)).to(p)
    return relation
