"""What is never written or shown: passwords in addresses, and secrets that the environment holds."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from bench.core.errors import UserError

NAMED = re.compile(r"(PASSWORD|PASSWD|PASSPHRASE|PWD|TOKEN|SECRET|API_?KEY|ACCESS_KEY|PRIVATE_KEY)$", re.I)
"""How environment variables end that hold a secret."""

SHORTEST = 6
"""Characters: shorter values of such variables are switches ("1", "true"), and would be found in every other word."""

HIDDEN = "…"

_ADDRESS = re.compile(r"[\w+.-]+://")
_IN_ADDRESS = re.compile(r"(?<!sqlite)://\S*@")  # up to the last @: a password may hold one
_PASSWORD = re.compile(r"(?<!sqlite)://[^:@/\s]*:(.*)@", re.DOTALL)
_IN_QUERY = re.compile(r"((?:password|passwd|pwd|token|secret|api_?key)=)[^&\s'\"]+", re.I)

SENT = {
    "http": ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"),
    "postgresql": ("PGPASSWORD",),
    "mysql": ("MYSQL_PWD",),
}
"""Variables that a client sends to whatever server it is told to use, by the beginning of the address."""


def redacted(text: str, *addresses: str) -> str:
    """`text` without user names and passwords in addresses, and without the secrets of the environment, of this
    command's line and of `addresses`: for messages, error tags, tracebacks and reports.
    """
    own = (text,) if _ADDRESS.match(text) else ()
    for secret in sorted(set(_known((*addresses, *own))), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _IN_QUERY.sub(rf"\1{HIDDEN}", _IN_ADDRESS.sub(f"://{HIDDEN}@", text))


def _known(addresses: tuple[str, ...]) -> Iterator[str]:
    for name, value in os.environ.items():
        if NAMED.search(name) and name not in ("PWD", "OLDPWD"):
            yield from _forms(value)
    for text in (*os.environ.values(), *sys.argv, *addresses):
        if found := _PASSWORD.search(text):
            yield from _forms(found[1])


def _forms(secret: str) -> Iterator[str]:
    """As it stands, and as whoever has decoded the address may repeat it."""
    yield from (form for form in (secret, unquote(secret)) if len(form.strip()) >= SHORTEST)


def refuse_unasked_server(field: str, address: str | None, own: str) -> None:
    """Raises `UserError` where a study file names a server that would be sent a secret of the environment.

    field: of the study; address: its value; own: the variable by which the user can name the server instead.
    """
    if address is None or address == os.environ.get(own):
        return
    scheme = urlsplit(address).scheme
    names = [name for start, names in SENT.items() if scheme.startswith(start) for name in names]
    for name in names:
        if os.environ.get(name):
            raise UserError(
                f"{field}: the study file names the server {redacted(address)}, which would be sent {name} of the "
                f"environment. If you trust it, name it yourself: {own}=..., with {field} left out of the study"
            )
