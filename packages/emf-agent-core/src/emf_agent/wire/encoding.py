"""How values are written: the ancestor's serializer rules (its protocol, sections 3.4 and 3.5).

Tuples are arrays, a result is ``{"Ok": v}`` or ``{"Err": text}`` with exactly one key, integers are
strict, and unknown keys are ignored, because either peer may be newer than the other.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, ValidationError

__all__ = [
    "Err",
    "Extension",
    "Name",
    "Ok",
    "Result",
    "Unsigned64",
    "WireModel",
    "explain",
    "format_time",
    "parse_time",
]

Unsigned64 = Annotated[int, Field(ge=0, lt=2**64)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


def is_absent(value: object) -> bool:
    """Tell whether an optional protocol 2 field is unset and so stays off the wire."""
    return value is None


Extension: Any = Field(default=None, exclude_if=is_absent)
"""A field of protocol 2: absent means the peer, or this message, does not use it."""


class WireModel(BaseModel):
    """Base of everything that crosses the wire: frozen, strict, tolerant of a newer peer."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        populate_by_name=True,
        serialize_by_alias=True,
    )

    def to_bytes(self) -> bytes:
        """Return the message as JSON, as it goes on the wire."""
        return self.model_dump_json().encode()


class Ok(WireModel):
    """Success, written ``{"Ok": value}``."""

    model_config = ConfigDict(extra="forbid")

    value: JsonValue = Field(alias="Ok")


class Err(WireModel):
    """Failure, written ``{"Err": "text"}``."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(alias="Err")


def result_kind(value: object) -> str | None:
    """Return which of the two keys tells this result apart, or None where neither does."""
    match value:
        case Ok():
            return "Ok"
        case Err():
            return "Err"
        case dict() if len(value) == 1:
            return str(next(iter(value)))
        case _:
            return None


Result = Annotated[
    Annotated[Ok, Tag("Ok")] | Annotated[Err, Tag("Err")],
    Discriminator(
        result_kind,
        custom_error_type="result",
        custom_error_message='expected {"Ok": value} or {"Err": "text"} with exactly one key',
    ),
]


def format_time(moment: datetime) -> str:
    """Write an aware time as the ancestor does: UTC, microseconds, ending in ``+00:00Z``.

    The form has an offset and a Z, which is not valid ISO 8601; peers compare it as a string only.
    """
    utc = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "+00:00Z"


def parse_time(text: str) -> datetime | None:
    """Return the time a peer wrote, or None: any string is allowed on the wire."""
    tidy = text[:-1] if text.endswith("+00:00Z") else text
    try:
        moment = datetime.fromisoformat(tidy[:-1] + "+00:00" if tidy.endswith("Z") else tidy)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone(timedelta(0)))
    return moment.astimezone(timezone.utc)


def explain(error: ValidationError, *, limit: int = 5) -> str:
    """Say in one line what is wrong with a message: where, expected, got (no input is echoed)."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, fault['loc'])) or 'message'}: {fault['msg']}" for fault in faults]
    more = f" (and {len(told) - limit} more)" if len(told) > limit else ""
    return "; ".join(told[:limit]) + more
