"""Libraries that only some strategies need, and that are installed on request."""

from importlib import import_module
from typing import Any

from bench.methods.api import UserError


def extra(strategy: str, module: str) -> Any:
    """The module, imported. Raises `UserError` that says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"{strategy} needs {module}, which is not installed: pip install 'finetune-bench[structure]' ({error})"
        ) from error
