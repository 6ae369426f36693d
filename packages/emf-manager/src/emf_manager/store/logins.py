"""The store as the logins see it: passwords, one-time codes and signed-in browsers.

Users and tokens are the store's own; whatever is returned here belongs to a user who is there and
not disabled. Every write returns after the commit.
"""

from __future__ import annotations

from typing import Protocol

from emf_manager.login_records import Login, LoginCode
from emf_manager.records import NewAudit, User

__all__ = ["LoginStore"]


class LoginStore(Protocol):
    """What ``store.logins`` does."""

    async def set_password(self, user: str, hashed: str, *, at: float, audit: NewAudit) -> bool:
        """Keep a password's hash and end every login of the user; False where there is none."""
        ...

    async def password(self, user: str) -> str | None:
        """Return the hash of a user's password; None where there is none to sign in with."""
        ...

    async def add_code(self, code: LoginCode, *, audit: NewAudit) -> bool:
        """Keep a one-time code; False where there is no such user, or a disabled one."""
        ...

    async def redeem_code(self, code_sha256: str, *, at: float) -> str | None:
        """Use a code up by one conditional UPDATE; return its user, None where it is no good."""
        ...

    async def add_login(self, login: Login, *, audit: NewAudit) -> bool:
        """Keep a signed-in browser; False where its user may not sign in."""
        ...

    async def find_login(
        self, secret_sha256: str, *, now: float, idle_s: float
    ) -> tuple[Login, User] | None:
        """Return a login that is good now, and its user; else None.

        Good is: not over, used within ``idle_s``, its user not disabled, its token neither expired
        nor revoked.
        """
        ...

    async def logins(self, user: str, *, now: float, idle_s: float) -> tuple[Login, ...]:
        """Return a user's logins that are good now, newest first."""
        ...

    async def touch_login(self, login_id: str, *, at: float) -> None:
        """Note when a login was last used."""
        ...

    async def end_login(self, user: str, login_id: str, *, audit: NewAudit) -> bool:
        """End one login of a user; False where they have none such."""
        ...
