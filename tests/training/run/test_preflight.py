"""What is checked before a source is pretrained: on a network whose weights only stand in for those to come."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.execution.failures import Checked
from bench.execution.preparation import untrained
from bench.execution.worker import check
from bench.planning import compose
from bench.storage.places import Places

SOURCE = BackboneSpec("test_resnet", "source", source=DatasetSpec("synthetic/source"), label="test_resnet")


def first_check(
    expression: str, tmp_path: Path, stand_in: bool, **hyperparameters: dict[str, object]
) -> Checked:
    strategy = compose.parse(expression, hyperparameters)
    spec = RunSpec(DatasetSpec("synthetic/fine"), 10, SOURCE, strategy, 0, TrainSpec(image_size=32))
    return check(lambda event: None, [untrained(spec)], 10, Places(tmp_path, tmp_path), stand_in)


@pytest.mark.parametrize("expression", ["lora", "ia3", "full + co_tuning", "full + lwf"])
def test_what_the_weights_to_come_allow_is_not_refused_for_the_stand_in(
    expression: str, tmp_path: Path
) -> None:
    first_check(expression, tmp_path, stand_in=True)
    with pytest.raises(UserError, match=r"all zero and stay frozen|without the classifier"):
        first_check(expression, tmp_path, stand_in=False)  # where random weights are what the study asks for


def test_what_no_weights_allow_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"last_stages: k is 99"):
        first_check("last_stages", tmp_path, stand_in=True, last_stages={"k": 99})
