"""MLP head: hidden layers in the classifier's place.

logits = W2 dropout(relu(W1 z + b1)) + b2,   z: [B, D] features
"""

from bench.methods.api import Model, Phases, Task, Transform, UserError, hyperparameter, nn, torch


class MLPHead(Transform):
    """A new head with one hidden layer and dropout, where the classifier was linear."""

    source = "document 004"
    when = "Document 004: add a branch where the new task needs more than a linear map of frozen features."
    against = "More parameters to learn from few images; a backbone that is tuned makes its features linear by itself."

    hidden: int = hyperparameter(256, 32, 1024, log=True)
    dropout: float = hyperparameter(0.2, 0.0, 0.5)

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        if self.hidden < 1 or self.dropout >= 1:
            raise UserError(
                f"mlp_head: hidden is {self.hidden}, dropout {self.dropout}: needs at least 1, and less than 1"
            )
        model.replace_head(lambda head: self.mlp(model.features_taken(head), model.num_classes))
        yield from phases

    def mlp(self, features: int, classes: int) -> nn.Module:
        """One of two linear layers; networks with several classifiers get as many."""
        return torch.nn.Sequential(
            torch.nn.Linear(features, self.hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(self.dropout),
            torch.nn.Linear(self.hidden, classes),
        )
