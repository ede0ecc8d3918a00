"""When people are there: hours by weekday, school terms, holidays and closed days.

The text of every ValueError here reads "what is wrong; what to write instead"; `load.py` splits it at the semicolon.
"""

from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from config.base import Frozen, LocalTime


class Weekday(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class Season(StrEnum):
    """Parts of a school year."""

    ALWAYS = "always"
    TERM = "term"
    BREAK = "break"  # between two terms


class Hours(Frozen):
    """People are there on these days from `start` to `end`, local time, on the same day."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)]
    start: LocalTime
    end: LocalTime
    people: Annotated[float, Field(ge=0)] = 0.0  # typical number present, for the gain forecast
    during: Season = Season.ALWAYS  # of the calendar's terms

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.end:
            raise ValueError(
                f"start {self.start:%H:%M} is not before end {self.end:%H:%M}; "
                "write hours over midnight as two entries, one for each day"
            )
        return self


class Term(Frozen):
    """School is in from the first to the last day, both included."""

    first: date
    last: date

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"first {self.first} comes after last {self.last}; write the earlier day as first")
        return self


class Calendar(Frozen):
    """Days that are unlike their weekday."""

    holidays: str | None = "GB-ENG"  # country or country-subdivision of the `holidays` package; None = none
    closed: tuple[date, ...] = ()
    terms: tuple[Term, ...] = ()  # of a school, in time order; days before the first and after the last count as term

    @model_validator(mode="after")
    def _terms_in_order(self) -> Self:
        for before, after in pairwise(self.terms):
            if after.first <= before.last:
                raise ValueError(
                    f"the term from {after.first} begins before the one from {before.first} ends; "
                    "write terms in time order, with a break between"
                )
        return self
