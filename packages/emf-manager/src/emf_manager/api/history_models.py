"""What the API says of a daemon's history, and how it is asked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from emf_manager.api.models import MOMENT, NODE, Answer, Seconds

__all__ = ["History", "HistoryQuery", "Series"]

MOST_POINTS = 2000
MOST_SERIES = 20

SeriesName = Annotated[str, Field(min_length=1, max_length=255)]
Values = tuple[float | None, ...]


class HistoryQuery(BaseModel):
    """Which series, over which span, in how many points."""

    model_config = ConfigDict(extra="forbid")

    series: Annotated[list[SeriesName], Field(max_length=MOST_SERIES)] = Field(
        default_factory=list,
        description="Repeat it for several; without any, series are listed without points.",
        examples=[["load.one"]],
    )
    start: AwareDatetime | None = Field(
        default=None,
        alias="from",
        description="RFC 3339 or seconds since the epoch; an hour before `to` if it is not said.",
    )
    end: AwareDatetime | None = Field(default=None, alias="to", description="Else now.")
    last: Seconds | None = Field(
        default=None, description="Instead of `from`: so many seconds before `to`."
    )
    points: Annotated[int, Field(ge=1, le=MOST_POINTS)] = Field(
        default=300, description="About how many; steps are round, so there may be fewer."
    )

    @field_validator("series")
    @classmethod
    def once_each(cls, names: list[str]) -> list[str]:
        """Take each name once."""
        return list(dict.fromkeys(names))


class Series(Answer):
    """A number that is kept over time; a counter's values are rates per second."""

    name: str = Field(examples=["network_interfaces[eth0].stats.rx.bytes"])
    kind: Literal["gauge", "counter"]
    unit: str = Field(examples=["bytes"], description="Of a counter's value per second.")
    last: float | None = Field(default=None, examples=[1234.5])
    at: datetime | None = Field(default=None, examples=[MOMENT])
    mean: Values = Field(default=(), description="One for each time; null where nothing is known.")
    min: Values = ()
    max: Values = ()


class History(Answer):
    """Series of one daemon on one node; with points where series were asked for."""

    node: str = Field(examples=[NODE])
    daemon: str = Field(examples=["network"])
    step_s: float | None = Field(default=None, examples=[15.0])
    times: tuple[float, ...] = Field(
        default=(), description="When each step began, in seconds since the epoch."
    )
    series: tuple[Series, ...]
