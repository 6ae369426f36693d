"""XML in and out: what pacemaker's programs print, and what they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from emf_agent.errors import ActionError

__all__ = ["Element", "XmlError", "attribute", "element", "parse_xml", "to_text"]

Element = ET.Element
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


class XmlError(ActionError):
    """A program's XML is none, or lacks what must be there."""


def parse_xml(text: str, source: str) -> Element:
    """Return the root element; ``source`` names where the text is from, for the error.

    Raises:
        XmlError: it is no XML, or declares entities, which no cluster program does.

    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise XmlError(f"{source}: the XML declares a document type; refused")
    try:
        return ET.fromstring(text)  # noqa: S314 - from root's own programs, checked above
    except ET.ParseError as error:
        shown = " ".join(text.split())[:200]
        raise XmlError(f"{source}: not XML ({error}): {shown!r}") from error


def attribute(one: Element, name: str) -> str:
    """Return an attribute that must be there.

    Raises:
        XmlError: it is not, with its name.

    """
    value = one.get(name)
    if value is None:
        raise XmlError(f"<{one.tag}> has no attribute {name!r}")
    return value


def element(
    tag: str, attributes: Mapping[str, str | None], children: Sequence[Element] = ()
) -> Element:
    """Return an element with its attributes sorted; those that are None are left out."""
    made = Element(
        tag, {key: value for key, value in sorted(attributes.items()) if value is not None}
    )
    made.extend(children)
    return made


def to_text(root: Element) -> str:
    """Return the document with its declaration."""
    return DECLARATION + ET.tostring(root, encoding="unicode")
