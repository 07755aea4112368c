"""`bench advise`: a strategy for a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from bench.cli import console
from bench.cli.options import Json, Shipped, Store, uri_of
from bench.cli.output import err, out, print_json, print_table
from bench.core.errors import UserError
from bench.storage.places import cache_dir


def advise(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="your images, a folder per class", show_default=False),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="a timm model, with one of the next three")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="timm's own weights")] = False,
    checkpoint: Annotated[str | None, typer.Option(help="a local .safetensors or .pth file")] = None,
    source: Annotated[
        str | None, typer.Option(help="a dataset to pretrain on here, as synthetic/source")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="more of the backbone, as in kwargs.pad_type=same, or of the images, as in "
            "datasets.0.options.skip_damaged=true",
        ),
    ] = None,
    n_per_class: Annotated[
        int | None, typer.Option(min=1, help="labelled images per class; default: all there are")
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="similar or dissimilar to the source, where it cannot be measured")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=8, help="default: that of the evidence, or the backbone's own")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="first probe your images at several sizes, about a minute")
    ] = False,
    measures: Annotated[
        Path | None, typer.Option(help="output of `bench similarity --json`, for studies stored without")
    ] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="instead: how good the advice is on the store's own datasets")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="DATASET", help="leave a dataset out of the evidence; repeatable"),
    ] = None,
    shipped: Shipped = True,
    as_json: Json = False,
    store: Store = None,
) -> None:
    """Which strategy for a folder of images? From the nearest evidence in the store, beside the textbook's rule."""
    from bench.advice import advise as advising
    from bench.advice import gathering
    from bench.advice import text as in_words

    known = gathering.gather(
        gathering.sources(uri_of(store), shipped),
        gathering.read_measures(measures) if measures else [],
        without or [],
    )
    if evaluate:
        trial = advising.evaluate(known, probe)
        print_json(trial) if as_json else _print_trial(trial, in_words.score_rows(trial))
        return
    if folder is None or backbone is None:
        raise UserError("bench advise needs a folder of images and --backbone NAME (or --evaluate)")
    if similarity not in (None, "similar", "dissimilar"):
        raise UserError(f"--similarity: expected similar or dissimilar (is {similarity!r})")
    origin = {"pretrained": pretrained, "checkpoint": checkpoint, "source": source}
    of_backbone, options = advising.divided(sets or [])
    spec = advising.backbone(
        {"name": backbone, **{k: v for k, v in origin.items() if v}}, of_backbone, Path.cwd()
    )
    similar = None if similarity is None else similarity == "similar"
    question = advising.Question(folder, spec, n_per_class or "all", similar, image_size, probe, options)
    found = advising.ask(question, known, Path.cwd(), cache_dir(), console.ConsoleDisplay(err).say)
    if as_json:
        print_json(found)
        return
    for line in in_words.lines(found):
        out.print(escape(line), highlight=False, soft_wrap=True)


def _print_trial(trial: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    print_table(rows)
    sizes = f"{trial['conditions']} conditions of {trial['datasets']} datasets, each dataset advised on from the others"
    out.print(
        f"{sizes}; reference: {escape(trial['reference'])}",
        highlight=False,
        soft_wrap=True,
    )
    if trial["covered"]:
        inside, total = trial["covered"]
        out.print(f"accuracies within their expected 95 % range: {inside} of {total}", highlight=False)
    for note in trial["notes"]:
        out.print(escape(note), style="yellow", highlight=False, soft_wrap=True)
