"""`bench verify`: whether this machine's results belong to the shipped reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import console
from bench.cli.options import Json, Workers
from bench.cli.output import err, out, print_json, print_table
from bench.storage.places import cache_dir


def verify(
    workers: Workers = None,
    seeds: Annotated[int, typer.Option(min=2, help="runs of each strategy and network")] = 5,
    as_json: Json = False,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write-reference", help="instead: make a new reference, of 20 seeds", show_default=False
        ),
    ] = None,
) -> None:
    """Run every strategy on embedded data, some minutes, and test the results against those of the reference.

    Exit code 0: they belong to it; 1: they do not. Before and after an upgrade of torch or timm, on a new machine.
    """
    from bench.execution.executors.choose import Request
    from bench.execution.verification import compare, verify
    from bench.execution.verification.reference import Reference

    known = None if write else Reference.read()
    wanted = verify.REFERENCE_SEEDS if write else range(verify.FIRST, verify.FIRST + seeds)
    display = console.ConsoleDisplay(err)
    found = verify.measure(wanted, Request(workers=workers).make, display, cache_dir())
    if known is None:
        assert write is not None
        verify.reference_of(found).save(write)
        out.print(f"{write}: {len(found)} distributions", highlight=False, soft_wrap=True)
        return
    lines = compare.compare(known, found)
    strange = [line for line in lines if not line.belongs]
    if as_json:
        print_json([_plain(line) for line in lines])
    else:
        print_table([_row(line) for line in lines])
        _say(strange, len(lines), known.versions, verify.versions())
    raise typer.Exit(1 if strange else 0)


def _say(strange: list[Any], total: int, then: Any, now: Any) -> None:
    changed = [f"{name} {then.get(name, '?')} -> {now[name]}" for name in now if now[name] != then.get(name)]
    told = f"versions: {', '.join(changed)}" if changed else "versions: those of the reference"
    out.print(told, highlight=False, soft_wrap=True)
    if strange:
        text = f"{len(strange)} of {total} results do not belong to the reference: something changes what is learnt"
        out.print(text, style="red", highlight=False, soft_wrap=True)
    else:
        out.print(f"all {total} results belong to the reference", style="green", highlight=False)


def _row(line: Any) -> dict[str, Any]:
    network, strategy, metric = line.key
    here = line.here
    return {
        "network": network,
        "strategy": strategy,
        "metric": metric,
        "reference": f"{line.reference.mean:.3f} ± {line.reference.sd:.3f} ({line.reference.n})",
        "here": f"{here.mean:.3f} ± {here.sd:.3f} ({here.n})" if here else "no result",
        "p, Holm": f"{line.p:.2g}",
        "": "" if line.belongs else "differs",
    }


def _plain(line: Any) -> dict[str, Any]:
    network, strategy, metric = line.key
    return {
        "network": network,
        "strategy": strategy,
        "metric": metric,
        "reference": vars(line.reference),
        "here": vars(line.here) if line.here else None,
        "p": line.p,
        "belongs": line.belongs,
    }
