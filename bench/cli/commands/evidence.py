"""`bench evidence`: what `bench advise` has to go by."""

from __future__ import annotations

from bench.cli.options import Json, Shipped, Store, uri_of
from bench.cli.output import out, print_json, print_table


def evidence(as_json: Json = False, shipped: Shipped = True, store: Store = None) -> None:
    """List the evidence, of the store and of the package: by dataset and network, and by strategy."""
    from bench.advice import gathering, listing

    rows = listing.listing(gathering.sources(uri_of(store), shipped))
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("none: no study in the store has results of two strategies", highlight=False)
        return
    print_table(listing.by_dataset(rows))
    print_table(listing.by_strategy(rows))
