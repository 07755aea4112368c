"""A backbone entry -> its spec, with the contents of files and sources in it. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.data import registry
from bench.models import kwargs, names
from bench.models.checkpoints import preprocessing as brought
from bench.planning.source_recipe import recipe_of, settings
from bench.planning.study import BackboneEntry
from bench.storage.places import place


def resolve(
    entry: BackboneEntry,
    base: Path,
    at: Callable[[str], AbstractContextManager[object]],
    cache: Path | None = None,
) -> BackboneSpec:
    """base: what its paths refer to. at: field -> a context that says in a `UserError` where that field stands.
    cache: where digests of files are remembered, if anywhere.

    Raises `UserError` for networks, sources and files that there are not.
    """
    with at("name"):
        names.check(entry.name)
    with at("kwargs"):
        kwargs.check(entry.name, entry.kwargs)
    source = None
    if entry.source:
        with at("source"):
            source, _ = registry.identified(entry.source.name, entry.source.options, base, cache)
    with at("checkpoint"):
        content = _digest(place(base, entry.checkpoint)) if entry.checkpoint else ""
        path = place(base, entry.checkpoint).absolute() if entry.checkpoint else None
    spec = BackboneSpec(
        entry.name, entry.weights, entry.checkpoint, entry.rename, source, entry.source_train, entry.kwargs,
        entry.data_config, entry.label or entry.name, content, tuple(entry.allow_missing), entry.key,
    )  # fmt: skip
    if source:
        with at("source_train"):
            settings(spec, recipe_of(spec))
    return brought.applied(spec, path) if path else spec


def _digest(path: Path) -> str:
    try:
        if not path.is_file():
            raise UserError(f"{'not a file' if path.exists() else 'no such file'}: {path}")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def remarks(spec: BackboneSpec, base: Path) -> list[str]:
    """What its checkpoint says of its preprocessing, and what is assumed; numbers of timm's are not known here."""
    return brought.remarks(spec, place(base, spec.checkpoint)) if spec.checkpoint else []
