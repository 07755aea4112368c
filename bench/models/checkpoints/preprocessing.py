"""What a checkpoint says of itself: how its network is built and fed. Torch-free, so that a plan knows it too.

It is read from where it is written: the metadata of the harness's own files, the training arguments in a checkpoint of
timm's `train.py` and the like, and timm's or Hugging Face's JSON beside the file. What a study says itself wins.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.models import names
from bench.models.checkpoints import foreign
from bench.models.checkpoints import unpickled as inert
from bench.models.checkpoints.file_kinds import refuse_others

METADATA = "its metadata"
ARGUMENTS = (
    *("args", "hyper_parameters", "hparams", "config", "cfg", "opt"),
    *("pretrained_cfg", "default_cfg", "data_config"),
)
"""Where training scripts put the arguments they were called with (Lightning: the second), or timm's configuration."""

USUAL = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
"""Names under which hubs keep weights: a `config.json` beside them is theirs."""

PREPROCESSING = ("mean", "std", "crop_pct", "interpolation")

ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pyth", ".tar")
MAX_BYTES = 100_000_000  # of a header or a configuration: safetensors' own limit


@dataclass(frozen=True)
class Brought:
    """What a checkpoint says. where: key of `data_config` or `kwargs`, or "architecture" -> the place that says so.

    changed: why its weights do not fit the architecture any more; empty where they do. unused: what was found beside
    the file and could be of another one.
    """

    data_config: dict[str, Any] = field(default_factory=dict)
    kwargs: dict[str, Any] = field(default_factory=dict)
    architecture: str = ""
    where: dict[str, str] = field(default_factory=dict)
    changed: str = ""
    unused: tuple[str, ...] = ()

    def and_also(self, place: str, found: foreign.Found) -> Brought:
        """With what another place says besides; what is known already stays."""
        data, kwargs, architecture = found
        new = {key for key in (*data, *kwargs) if key not in self.where}
        named = {"architecture"} if architecture and not self.architecture else set()
        return replace(
            self,
            data_config={**data, **self.data_config},
            kwargs={**kwargs, **self.kwargs},
            architecture=self.architecture or architecture,
            where={**dict.fromkeys(new | named, place), **self.where},
        )


def read(path: Path) -> Brought:
    """Nothing where there is no such file. Raises `UserError` where the file's own record cannot be read."""
    if not path.is_file():
        return Brought()
    found = _embedded(path) if path.suffix == ".safetensors" else Brought()
    for place, said in (*_arguments(path), *_beside(path)):
        found = found.and_also(place, said)
    return replace(found, unused=tuple(_ambiguous(path)))


def read_data_config(path: Path) -> dict[str, Any]:
    """mean, std, crop_pct, interpolation and image_size, as far as the checkpoint brings them."""
    return read(Path(path)).data_config


def applied(spec: BackboneSpec, path: Path) -> BackboneSpec:
    """The backbone with what its checkpoint brings; what the spec says itself stays.

    Values in the file's own metadata are part of its digest, and are read when the network is built; others become part
    of the spec, and so of a run's identity. Raises `UserError` where the file is of another architecture, or of a changed
    network.
    """
    found = read(path)
    _refuse_others(spec, path, found)
    outside = {k: v for k, v in found.data_config.items() if found.where[k] != METADATA}
    return replace(spec, kwargs={**found.kwargs, **spec.kwargs}, data_config={**outside, **spec.data_config})


def remarks(spec: BackboneSpec, path: Path, used: Mapping[str, Any] | None = None) -> list[str]:
    """What is taken from the checkpoint, what the study says otherwise, and what nobody says, for plans and reports.

    used: the preprocessing that applies in the end, where that is known.
    """
    found = read(path)
    own: dict[str, Any] = {
        **spec.data_config,
        **spec.kwargs,
        **({"image_size": used["image_size"]} if used else {}),
    }
    brought = {**found.data_config, **found.kwargs}
    said = []
    for place in dict.fromkeys(found.where.values()):
        values = {k: v for k, v in brought.items() if found.where[k] == place}
        taken = [f"{k} {shown(v)}" for k, v in values.items() if k not in own or _same(own[k], v)]
        if taken:
            said.append(f"{', '.join(taken)}, as {place} says")
        said += [
            f"{k} {shown(own[k])}, as the study says, though {place} says {shown(v)}"
            for k, v in values.items()
            if k in own and not _same(own[k], v)
        ]
    if missing := [k for k in PREPROCESSING if k not in spec.data_config and k not in found.data_config]:
        assumed = ", ".join(f"{key} {shown(used[key])}" for key in missing) if used else ""
        said.append(
            f"nothing says with which {', '.join(missing)} it was trained, and what timm has for {spec.name} is assumed"
            f"{f': {assumed}' if assumed else ''} (`data_config` sets others)"
        )
    return [f"{path.name}: {text}" for text in (*said, *found.unused)]


def _same(a: Any, b: Any) -> bool:
    """Alike, whether written as lists, tuples, whole numbers or others."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _refuse_others(spec: BackboneSpec, path: Path, found: Brought) -> None:
    if found.changed:
        raise UserError(f"checkpoint {path}: {found.changed}")
    theirs, ours = (name.partition(".")[0] for name in (found.architecture, spec.name))
    # with a key, the name may be that of another network in the file
    if theirs != ours and not spec.key and names.is_registered(theirs):
        place = found.where["architecture"]
        raise UserError(
            f"checkpoint {path}: holds weights of {theirs} ({place}), not of {ours}; set `name: {theirs}`"
        )


def _embedded(path: Path) -> Brought:
    """The harness's own record, or `data_config` alone where a file has no more."""
    texts = _metadata(path)
    data, kwargs = (_json(path, texts, key) for key in ("data_config", "kwargs"))
    found = Brought(changed=texts.get("changed", ""))
    return found.and_also(METADATA, (data, kwargs, texts.get("architecture", "")))


def _metadata(path: Path) -> Mapping[str, str]:
    """Text by name, from a safetensors header: 8 bytes of length, then JSON. Nothing where that is damaged."""
    refuse_others(path)
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= MAX_BYTES else {}
        found = header.get("__metadata__")
    except (OSError, ValueError, struct.error, RecursionError, AttributeError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def _json(path: Path, texts: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        found = json.loads(texts.get(key, "{}"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"checkpoint {path}: its {key} is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _arguments(path: Path) -> Iterator[tuple[str, foreign.Found]]:
    """What a torch checkpoint says beside its weights."""
    if path.suffix == ".safetensors":
        return
    try:
        content = _mapping(inert.read(path).content)
    except inert.Unreadable:
        return
    for key in ARGUMENTS:
        if arguments := _mapping(content.get(key)):
            yield f"`{key}` in the file", foreign.settings(arguments)
    plain = {k: v for k, v in content.items() if not isinstance(v, Mapping | inert.Inert)}
    yield "entries of the file", foreign.settings({**plain, **_of_kwargs(content)})


def _of_kwargs(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: content[key] for key in foreign.KWARGS if isinstance(content.get(key), Mapping)}


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, inert.Inert):
        value = value.attributes
    return {k: v for k, v in value.items() if isinstance(k, str)} if isinstance(value, Mapping) else {}


def _beside(path: Path) -> Iterator[tuple[str, foreign.Found]]:
    """JSON beside the file: of its own name, or the hub's where it cannot be another file's."""
    files = [path.with_suffix(".json")] + (_of_hub(path) if _alone(path) else [])
    for file in files:
        config = _config(file)
        place = f"{file.name} beside it"
        if "image_mean" in config or "do_normalize" in config:
            yield place, (foreign.hugging_face(config), {}, "")
        elif config.keys() & {"pretrained_cfg", "architecture", "mean"}:
            yield place, foreign.settings(config)


def _ambiguous(path: Path) -> Iterator[str]:
    if not _alone(path):
        for file in _of_hub(path):
            if _config(file).keys() & {"pretrained_cfg", "architecture", "image_mean", "mean"}:
                yield f"{file.name} lies beside several checkpoints, and is not used"


def _of_hub(path: Path) -> list[Path]:
    return [path.with_name(name) for name in ("preprocessor_config.json", "config.json")]


def _alone(path: Path) -> bool:
    if path.name in USUAL:
        return True
    try:
        others = [p for p in path.parent.iterdir() if p.suffix in ENDINGS and p.name != path.name]
    except OSError:
        return False
    return not others


def _config(file: Path) -> dict[str, Any]:
    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            return {}
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"[{', '.join(map(shown, value))}]" if isinstance(value, list | tuple) else str(value)
