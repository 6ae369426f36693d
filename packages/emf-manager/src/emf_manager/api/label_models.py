"""What the API says of a node's labels, and takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from emf_manager.api.models import NODE, Answer, Question
from emf_manager.labels import LABEL_NAME, LABEL_VALUE, MOST_LABELS

__all__ = ["Labels", "LabelsRequest"]

EXAMPLE = {"rack": "r1", "ha": "pair1"}
Name = Annotated[str, Field(pattern=f"^{LABEL_NAME}$")]
Value = Annotated[str, Field(pattern=f"^{LABEL_VALUE}$")]


class Labels(Answer):
    """The labels of a node; each is a group, such as `@rack=r1`, and a fact, `label.rack`."""

    fqdn: str = Field(examples=[NODE])
    labels: dict[str, str] = Field(examples=[EXAMPLE])


class LabelsRequest(Question):
    """All labels that a node is to have."""

    labels: dict[Name, Value] = Field(max_length=MOST_LABELS, examples=[EXAMPLE])
