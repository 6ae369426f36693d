"""What may be a package's or a module's name; everything else is refused before a program sees it.

Debian Policy 5.6.1 and the RPM naming rules, with an architecture where tools accept one.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

__all__ = ["ModuleName", "PackageName"]

PackageName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9+._~:-]*$", min_length=1, max_length=256),
]
ModuleName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$", min_length=1, max_length=64)
]
