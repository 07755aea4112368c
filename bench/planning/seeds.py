"""The seeds of a study: a list, a number, or as many as it takes to decide (docs/statistics.md, "Looking again")."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from bench.core.records.looks import RaceRecord

MAX_RUNS = 100_000  # of a study; what makes more is a slip, and planning it would take minutes

LOOKS = (3, 5, 8, 12, 20, 32, 50, 80)
"""Seeds after which is looked, by default: each look has about 1.6 times the seeds of the one before."""


class UntilDecided(BaseModel):
    """As many seeds as it takes: after each look, what is decided or shown not to be better gets no more."""

    model_config = ConfigDict(extra="forbid")

    until: Literal["decided"]
    at_most: int = Field(20, ge=2, le=1000, description="seeds that no strategy goes beyond")
    looks: list[Annotated[int, Field(ge=2)]] = Field(
        [],
        max_length=50,
        description="seeds after which verdicts are looked at, the last of them at_most; default: 3, 5, 8, 12, 20, ...",
    )
    hours: float | None = Field(
        None, gt=0, description="no more seeds once the runs have taken so long, in hours of one worker"
    )

    @model_validator(mode="after")
    def _looks_end_at_most(self) -> UntilDecided:
        if not self.looks:
            self.looks = [n for n in LOOKS if n < self.at_most] + [self.at_most]
        if sorted(set(self.looks)) != self.looks:
            raise ValueError(f"looks are numbers of seeds that increase, not {self.looks}")
        if self.looks[-1] != self.at_most:
            raise ValueError(
                f"the last look is after at_most = {self.at_most} seeds, not after {self.looks[-1]}"
            )
        return self

    def record(self) -> RaceRecord:
        return RaceRecord(tuple(self.looks), self.hours)


def or_a_number(schema: dict[str, Any]) -> None:
    """Adds to the JSON schema of `seeds` that it may be a number."""
    schema["anyOf"].insert(0, {"type": "integer", "minimum": 1})


_LIST: TypeAdapter[list[int]] = TypeAdapter(Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)])


def checked(value: Any) -> list[int] | UntilDecided:
    """What a study file's `seeds` say. Raises `ValueError`; a mapping is `UntilDecided`."""
    if isinstance(value, UntilDecided):
        return value
    if isinstance(value, dict):
        return UntilDecided.model_validate(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if value > MAX_RUNS:
            raise ValueError(f"more than {MAX_RUNS:,} seeds")
        value = list(range(value))
    if not isinstance(value, list):
        raise ValueError("expected how many seeds, a list of them, or {until: decided, at_most: 20}")
    seeds = _LIST.validate_python(value)
    if len(set(seeds)) < len(seeds):
        raise ValueError("duplicate seed")
    return seeds
