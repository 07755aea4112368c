import subprocess
import sys

import pytest

from bench.core.errors import UserError
from bench.models import names


@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k", "vit_tiny_patch16_224", "test_resnet"])
def test_known(name: str) -> None:
    assert names.exists(name)
    names.check(name)


@pytest.mark.parametrize(
    "name", ["", "resnt18", "resnet18 ", "../resnet18", "hf-hub:timm/resnet18", "__init__", "ResNet"]
)
def test_unknown(name: str) -> None:
    assert not names.exists(name)


def test_nearest_names() -> None:
    with pytest.raises(UserError, match=r"unknown timm model 'resnt18'; did you mean .*resnet18"):
        names.check("resnt18")


def test_the_scan_finds_all_that_timm_registers() -> None:
    import timm

    assert set(timm.list_models()) <= names._registered_in_source()


def test_deprecated_names_are_left_to_timm() -> None:
    assert "vit_tiny_patch16_224_in21k" not in names._registered_in_source()
    assert names.exists("vit_tiny_patch16_224_in21k")


def test_known_names_cost_no_import() -> None:
    code = """
import sys, time
start = time.process_time()
from bench.models import names
assert names.exists("resnet18") and names.exists("efficientnet_b0.ra_in1k")
assert not {"timm", "torch"} & sys.modules.keys()
assert time.process_time() - start < 0.5, "about 0.07 s"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_describe() -> None:
    rows = {row["name"]: row for row in names.describe()}
    assert rows["resnet18"] == {"name": "resnet18", "summary": "resnet, 224 px", "pretrained": True}
    assert not rows["test_efficientnet_evos"]["pretrained"] or rows["test_efficientnet_evos"]["summary"]
