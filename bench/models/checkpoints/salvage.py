"""The tensors of a torch checkpoint that holds other objects besides: they are read, and the objects are left alone."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.models.checkpoints.unpickled import ITEM_BYTES, Inert, Pickled, Storage, TensorRef

KINDS = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
MAX_DEPTH = 32  # of containers in each other


def load(path: Path, pickled: Pickled) -> Any:
    """What `torch.load` gives, with tensors in the places of references, on the CPU, and `Inert` objects left as they are.

    Raises ValueError, OSError, KeyError or RuntimeError for a damaged file.
    """
    read = _archived(path) if pickled.offsets is None else _appended(path, pickled.offsets)
    storages: dict[str, Tensor] = {}

    def tensor(ref: TensorRef) -> Tensor | TensorRef:
        dtype = KINDS.get(ref.storage.kind)
        if dtype is None or ref.dtype:
            return ref
        if ref.storage.key not in storages:
            raw = read(ref.storage)
            storages[ref.storage.key] = (
                torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            )
        return storages[ref.storage.key].as_strided(ref.shape, ref.strides, ref.offset)

    return _replaced(pickled.content, tensor, 0)


def _replaced(content: Any, tensor: Callable[[TensorRef], Any], depth: int) -> Any:
    if isinstance(content, TensorRef):
        return tensor(content)
    if isinstance(content, Inert) and content.items:
        content = content.items  # a mapping of some kind of its own
    if depth > MAX_DEPTH:
        return content
    if isinstance(content, Mapping):
        return {key: _replaced(value, tensor, depth + 1) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_replaced(value, tensor, depth + 1) for value in content]
    return content


def _archived(path: Path) -> Callable[[Storage], bytearray]:
    archive = zipfile.ZipFile(path)
    root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("its numbers are in big-endian order")
    return lambda storage: bytearray(archive.read(f"{root}data/{storage.key}"))


def _appended(path: Path, offsets: Mapping[str, int]) -> Callable[[Storage], bytearray]:
    """Of torch before 1.6, which wrote storages one after the other behind the pickles."""

    def read(storage: Storage) -> bytearray:
        with path.open("rb") as file:
            file.seek(offsets[storage.key])
            return bytearray(file.read(storage.length * ITEM_BYTES[storage.kind]))

    return read
