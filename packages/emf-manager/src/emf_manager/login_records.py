"""What is kept of people who sign in with a browser, as frozen values; secrets are hashed.

Times are wall clock, seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Login", "LoginCode", "LoginWay"]

LoginWay = Literal["token", "password", "link"]


@dataclass(frozen=True)
class Login:
    """One browser that is signed in."""

    id: str
    secret_sha256: str
    user: str
    way: LoginWay
    created: float
    expires: float
    """When it is over, however much it is used."""
    last_used: float
    token_id: str | None = None
    """The API token it was made with; it ends when that does."""
    peer: str = ""
    browser: str = ""
    """What the browser says it is, cut."""


@dataclass(frozen=True)
class LoginCode:
    """One link that signs a user in once."""

    code_sha256: str
    user: str
    created: float
    expires: float
    created_by: str = ""
