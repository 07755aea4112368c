"""Reads the pickle within a torch checkpoint as data. Nothing that it names is imported or called, so none of it runs.

Torch-free: planning reads here what a file says of itself, and `bench.models.checkpoints.salvage` which tensors it holds.
"""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

HARMLESS = {
    "_codecs": {"encode"},  # bytes, in pickles of protocol 2
    "argparse": {"Namespace"},
    "builtins": {
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object"),
        *("range", "set", "slice", "str", "tuple", "getattr"),  # the last: members of an enum, in Python 3.11
    },
    "copyreg": {"_reconstructor", "__newobj__"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "enum": {"Enum", "IntEnum", "StrEnum"},
    "fractions": {"Fraction"},
    "functools": {"partial"},
    "types": {"SimpleNamespace"},
    "uuid": {"UUID"},
}
"""What plain data of the standard library are made of; besides these, all of `collections` and `pathlib`."""

ITEM_BYTES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("CharStorage", "ByteStorage", "BoolStorage"), 1),
    "ComplexDoubleStorage": 16,
}
"""Bytes of an element, of the storages whose numbers can be weights: quantised ones cannot be by themselves."""

OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # as protocol 2 writes them


LENGTH_BYTES = 8  # before each storage, in torch's format before 1.6


@dataclass(frozen=True)
class Storage:
    """Where the bytes of a tensor are. kind: torch's name of the type, such as "FloatStorage". length: elements."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor that was not read. offset, strides: in elements of its storage. dtype: where it is not the storage's."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str = ""


class Inert:
    """Stands where a pickle makes an object of `kind`: keeps what it would be made of, and does nothing."""

    kind = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **options: Any) -> Inert:
        made = super().__new__(cls)
        made.args, made.state, made.items, made.values = args, None, {}, []
        return made

    def __init__(self, *args: Any, **options: Any) -> None:
        self.items: dict[Any, Any]
        self.values: list[Any]

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, name: Any, value: Any) -> None:
        self.items[name] = value

    def __call__(self, *args: Any, **options: Any) -> Inert:
        made: Inert = _class(f"{self.kind}()", Inert)(*args)
        return made

    def append(self, value: Any) -> None:
        self.values.append(value)

    def extend(self, values: Any) -> None:
        self.values.extend(values)

    add = append

    @property
    def attributes(self) -> Mapping[Any, Any]:
        """Its entries, where it is a mapping; else what its `__dict__` would be."""
        if self.items:
            return self.items
        state = self.state[0] if isinstance(self.state, tuple) and self.state else self.state
        return state if isinstance(state, Mapping) else {}

    @property
    def is_module(self) -> bool:
        return {"_parameters", "_modules"} <= set(self.attributes)


class _Mapping(dict[Any, Any]):
    """A mapping of any kind, without what its kind does."""

    def __new__(cls, *args: Any) -> _Mapping:
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        super().__init__(next((a for a in args if isinstance(a, Mapping)), {}))


class _Rebuild:
    def __new__(cls, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Any:
        whole = isinstance(storage, Storage) and isinstance(offset, int)
        dtype = (
            rest[2].kind if len(rest) > 2 and isinstance(rest[2], type) and issubclass(rest[2], Inert) else ""
        )
        return TensorRef(storage, offset, tuple(shape), tuple(strides), dtype) if whole else None


class _Parameter:
    def __new__(cls, data: Any, *rest: Any) -> Any:
        return data


KNOWN: dict[str, type] = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": _Mapping,
    "collections.Counter": _Mapping,
    "torch._utils._rebuild_tensor": _Rebuild,
    "torch._utils._rebuild_tensor_v2": _Rebuild,
    "torch._utils._rebuild_tensor_v3": _Rebuild,
    "torch._utils._rebuild_parameter": _Parameter,
    "torch._utils._rebuild_parameter_with_state": _Parameter,
    "torch.Size": tuple,
    "builtins.dict": dict,
    "builtins.list": list,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.tuple": tuple,
}


def _class(kind: str, base: type) -> Any:
    """A class of its own each time: what a pickle does to one is gone with it."""
    immutable = base.__module__ in ("builtins", "collections")
    return base if immutable else type(base.__name__, (base,), {"kind": kind})


class _Reader(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.names: list[str] = []
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{OLD_NAMES.get(module, module)}.{name}"
        self.names.append(full)
        return _class(full, KNOWN.get(full, Inert))

    def persistent_load(self, pid: Any) -> Any:
        if (
            isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module"
        ):  # a class, with its source, before torch 1.6
            return pid[1]
        if not isinstance(pid, tuple) or len(pid) < 5:
            return None
        kind = getattr(pid[1], "kind", "").rpartition(".")[2]
        found = Storage(kind, str(pid[2]), pid[4] if isinstance(pid[4], int) else 0)
        return self.storages.setdefault(found.key, found)


@dataclass(frozen=True)
class Pickled:
    """content: dicts, lists, numbers and text, with `TensorRef` and `Inert` among them. names: all that the pickle names.

    offsets: where the bytes of a storage begin in the file, by key, in torch's format before 1.6; since then storages are
    entries of an archive. bare: not written by torch, though there may be tensors in it.
    """

    content: Any
    names: list[str]
    offsets: dict[str, int] | None = None
    bare: bool = False

    @property
    def code(self) -> list[str]:
        """Names that plain data have no use for: functions of the standard library that loading would call."""
        return sorted({name for name in self.names if _is_code(name)})

    def modules(self) -> list[tuple[Any, ...]]:
        """Where whole networks were pickled, as keys from the outermost in."""
        return list(_modules(self.content, (), 0))


class Unreadable(Exception):
    """No pickle of torch, or a damaged one."""


def read(path: Path) -> Pickled:
    """Raises `Unreadable`."""
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                return _of_archive(file)
            file.seek(0)
            return _of_stream(file)
    except Exception as error:  # a damaged pickle fails in many ways
        raise Unreadable(str(error)) from error


def _of_archive(file: IO[bytes]) -> Pickled:
    with zipfile.ZipFile(file) as archive:
        entry = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        with archive.open(entry) as content:
            reader = _Reader(content)
            return Pickled(reader.load(), reader.names)


def _of_stream(file: IO[bytes]) -> Pickled:
    """A number that marks it as torch's, a version, facts on the machine, the object, the storages' keys, the storages."""
    mark = _Reader(file)
    if not isinstance(content := mark.load(), int):
        return Pickled(content, mark.names, bare=True)
    for _ in range(2):
        _Reader(file).load()
    reader = _Reader(file)
    content, keys = reader.load(), _Reader(file).load()
    offsets, at = {}, file.tell()
    for key in map(str, keys):
        offsets[key] = at + LENGTH_BYTES
        size = ITEM_BYTES.get(reader.storages[key].kind)
        if size is None:
            break  # what comes after it cannot be found
        at = offsets[key] + size * reader.storages[key].length
    return Pickled(content, reader.names, offsets)


def _is_code(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    package = module.partition(".")[0]
    if package not in sys.stdlib_module_names or package in ("collections", "pathlib"):
        return False
    return attribute not in HARMLESS.get(module, ())


def _modules(content: Any, keys: tuple[Any, ...], depth: int) -> Iterator[tuple[Any, ...]]:
    if isinstance(content, Inert) and content.is_module:
        yield keys
    elif isinstance(content, Mapping) and depth < 8:
        for key, value in content.items():
            yield from _modules(value, (*keys, key), depth + 1)
