"""What a study can name: `bench strategies`, `backbones`, `datasets` and `schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import Json
from bench.cli.output import out, print_json, print_table


def strategies(
    name: Annotated[str | None, typer.Argument(help="one of them, in full")] = None,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option(help="all of them in full, as the page in docs/")] = False,
) -> None:
    """List what a study can compose; with a name, its method card."""
    from bench.planning import catalogue

    entries = catalogue.strategies(name)
    if as_json:
        print_json(entries)
    elif markdown:
        print(catalogue.page(), end="")
    elif name:
        out.print(catalogue.card(name), highlight=False, markup=False, soft_wrap=True)
    else:
        print_table([{k: e[k] for k in ("name", "family", "summary")} for e in entries])


def backbones(
    as_json: Json = False, match: Annotated[str, typer.Option(help="only names that contain this")] = ""
) -> None:
    """List the networks (every timm architecture)."""
    from bench.models import names

    entries = [e for e in names.describe() if match in e["name"]]
    print_json(entries) if as_json else print_table(entries)


def datasets(as_json: Json = False) -> None:
    """List the kinds of datasets."""
    from bench.data import registry

    entries = registry.describe()
    print_json(entries) if as_json else print_table(
        [{"name": e["name"], "summary": e["summary"], "options": ", ".join(e["options"])} for e in entries]
    )


def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from bench.planning.study import Study

    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()})
