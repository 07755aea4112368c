"""Weights as the harness writes them: safetensors, whole or absent, with a checksum of the tensors in the metadata."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.storage.files import CHECKSUM, replaced


def save(weights: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Another process sees all of it or nothing, also after the machine has lost power."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
    with replaced(path) as aside:
        save_file(tensors, aside, metadata={**metadata, CHECKSUM: _checksum(tensors)})


def intact(path: Path) -> bool:
    """Whether the file is there and holds what was saved; read in full once by each process, unless it changes."""
    try:
        stat = path.stat()
    except OSError:
        return False
    return _intact(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def agree(weights: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> bool:
    """Whether tensors are those whose checksum the metadata has; True where it has none, as in files of others."""
    found = (metadata or {}).get(CHECKSUM)
    return found is None or found == _checksum(weights)


@lru_cache(maxsize=256)
def _intact(path: Path, size: int, written: int, changed: int, inode: int) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        return agree(load_file(path), metadata)
    except (SafetensorError, OSError, ValueError):  # cut off: the header says how long it must be
        return False


def _checksum(weights: Mapping[str, Tensor]) -> str:
    """CRC-32 of names, types, shapes and bytes."""
    value = 0
    for name, tensor in sorted(weights.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        if tensor.numel():
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            value = zlib.crc32(flat.view(torch.uint8).numpy().data, value)
    return f"{value:08x}"
