"""The corpus as tables in Markdown, each input with its message: `python -m tests.corpus`; `--count` for numbers alone."""

from __future__ import annotations

import sys

from tests.corpus.tables import BAD, ODD


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def main() -> None:
    if "--count" not in sys.argv:
        for kind, cases in BAD.items():
            print(f"\n### Refused {kind}\n\n| input | message |\n|---|---|")
            for case in cases:
                print(f"| {_cell(case.name)} | `{_cell(case.message)}` |")
        for kind, odd in ODD.items():
            print(f"\n### Odd {kind} that are read\n\n| input | read as |\n|---|---|")
            for entry in odd:
                print(f"| {_cell(entry.name)} | {_cell(entry.becomes)} |")
        print()
    for title, table in (("refused", BAD), ("odd, and read", ODD)):
        counts = ", ".join(f"{len(cases)} {kind}" for kind, cases in table.items())
        print(f"{sum(map(len, table.values()))} {title}: {counts}")


if __name__ == "__main__":
    main()
