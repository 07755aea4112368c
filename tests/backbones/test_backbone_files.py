"""Files that hold code, or no weights: refused with one message."""

import os
import pickle
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from bench.backbones.weights import load_checkpoint, read_state
from bench.errors import UserError


def net() -> nn.Module:
    return timm.create_model("test_resnet", num_classes=7)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
@pytest.mark.parametrize(
    "content", [lambda bomb: bomb, lambda bomb: {"state_dict": net().state_dict(), "args": bomb}]
)
def test_pickled_code_is_refused_and_not_run(tmp_path: Path, write, content) -> None:  # type: ignore[no-untyped-def]
    write(content(Bomb(tmp_path / "exploded")), tmp_path / "w.pth")
    with pytest.raises(UserError, match="pickled code is refused"):
        load_checkpoint(net(), tmp_path / "w.pth")
    assert not (tmp_path / "exploded").exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "w.pth")
    with pytest.raises(UserError, match="save_file"):
        load_checkpoint(net(), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere.pth", None, "no such file"),
        ("folder.pth", "folder", "not a file"),
        ("weights.npz", b"", "unknown kind '.npz'"),
        ("empty.pth", b"", "cannot be read"),
        ("text.pth", b"hello, world", "refused|cannot be read"),
        ("html.safetensors", b"<!doctype html>", "cannot be read"),
        ("cut.pth", "cut", "cannot be read"),
    ],
)
def test_files_that_are_no_checkpoints(
    tmp_path: Path, name: str, content: bytes | str | None, message: str
) -> None:
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content == "cut":
        torch.save(net().state_dict(), path)
        path.write_bytes(path.read_bytes()[:5000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_state(path)


@pytest.mark.parametrize("content", [{}, [], {"epoch": 3}, {"state_dict": {}}, torch.zeros(3), 5])
def test_nothing_inside(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds no named tensors"):
        read_state(tmp_path / "w.pth")
