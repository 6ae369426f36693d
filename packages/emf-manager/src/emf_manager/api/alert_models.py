"""What the API says of alerts, and takes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from emf_manager.alerts.values import AlertState, Severity
from emf_manager.api.models import MOMENT, NODE, Answer, Question

__all__ = ["AcknowledgeRequest", "Acknowledged", "Alert"]


class Acknowledged(Answer):
    """Who looks after an alert."""

    by: str = Field(examples=["maria"])
    at: datetime = Field(examples=[MOMENT])
    note: str = Field(default="", examples=["the disk is ordered"])


class Alert(Answer):
    """Something that somebody has to look at, or had to."""

    id: int = Field(examples=[17])
    kind: str = Field(examples=["node.silent"])
    severity: Severity
    state: AlertState = Field(description="acknowledged: somebody looks after it; cleared: over.")
    node: str | None = Field(default=None, examples=[NODE], description="None: the manager itself.")
    subject: str | None = Field(
        default=None, examples=["network"], description="Which of the node's things it is about."
    )
    text: str = Field(examples=["no contact for 60 s; see whether the machine is up"])
    raised: datetime = Field(examples=[MOMENT])
    cleared: datetime | None = Field(default=None, examples=[None])
    acknowledged: Acknowledged | None = None


class AcknowledgeRequest(Question):
    """Says that you look after an alert."""

    note: Annotated[str, Field(max_length=1000, examples=["the disk is ordered"])] = ""
