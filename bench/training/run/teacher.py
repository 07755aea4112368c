"""Teachers: networks fine-tuned on a run's own training images. Each is trained once and kept, by content."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file

from bench.core.errors import Diverged
from bench.core.seeds import derive
from bench.core.spec import RunSpec
from bench.data.task import Task
from bench.models.checkpoints import record
from bench.models.model import Model
from bench.planning import compose
from bench.storage import weights as kept
from bench.storage.arrays import locked
from bench.storage.files import room_for
from bench.storage.places import used
from bench.training.cost import Clock
from bench.training.device import Precision, placed
from bench.training.loop import Trainer


@dataclass
class Teacher:
    """Makes the teacher of one run when it is called. `seconds`: what training it took, in this run or an earlier one."""

    spec: RunSpec  # of the teacher's own training
    model: Model  # with its pretrained weights
    task: Task
    precision: Precision
    cache: Path
    seconds: float = 0.0

    def __call__(self) -> Model:
        """Frozen and in eval mode, on the run's device."""
        path = self.ensure_trained()
        model = placed(self.model, self.precision.device)
        with safe_open(path, framework="pt") as file:
            self.seconds = float(file.metadata()["seconds"])
        model.net.load_state_dict(load_file(path))
        return model.requires_grad_(False).eval()

    def ensure_trained(self) -> Path:
        """Trains it unless an earlier run has; other processes wait for it. -> the file of its weights"""
        path = self.cache / "teachers" / f"{self.spec.run_id}.safetensors"
        with locked(path.parent / ".locks" / path.stem):
            if not kept.intact(path):
                self._train(path)
        return used(path)

    def _train(self, path: Path) -> None:
        start = time.perf_counter()
        model = placed(self.model, self.precision.device)
        order = derive(self.spec.seed, "teacher-order")
        task = replace(self.task, unlabeled=None)
        trainer = Trainer(
            model, task, self.spec.train, self.precision, Clock(self.precision), order, lambda e, n, m: None
        )
        try:
            trainer.run(compose.build(self.spec.strategy))
        except Diverged as error:
            raise Diverged(f"its teacher, {self.spec.backbone.label}: {error}") from None
        seconds = repr(time.perf_counter() - start)
        with room_for(f"the weights of the teacher {self.spec.backbone.label}", path.parent):
            kept.save(model.net.state_dict(), path, self._record(seconds))

    def _record(self, seconds: str) -> dict[str, str]:
        model, backbone = self.model, self.spec.backbone
        fed = {"mean": model.mean, "std": model.std, "image_size": model.image_size}
        config = {**backbone.data_config, **fed}
        more = {"run_id": self.spec.run_id, "strategy": self.spec.strategy.label, "seconds": seconds}
        return record.metadata(backbone, config, model.num_classes, **more)
