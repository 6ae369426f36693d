"""Actions on time: point the node at one time server, or at none; is that done?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext, action
from emf_plugins_host.config_file import difference, read_config, replace_config
from emf_plugins_host.timekeeping.configuration import edit_chrony, edit_ntp, is_edited

__all__ = ["configuration_files", "configure_ntp", "is_ntp_configured"]

Edit = Callable[[str, "str | None"], str]
FILES: tuple[tuple[str, Edit], ...] = (
    ("etc/ntp.conf", edit_ntp),
    ("etc/ntpsec/ntp.conf", edit_ntp),
    ("etc/chrony.conf", edit_chrony),
    ("etc/chrony/chrony.conf", edit_chrony),
)
TimeServer = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$", max_length=253)
]


@action(timeout_s=60, idempotent=True, read_only=True)
def is_ntp_configured() -> bool:
    """Tell whether the time service was pointed at a server by configure_ntp."""
    return any(is_edited(read_config(path)) for path, _ in configuration_files())


@action(timeout_s=60, dry_run=True, idempotent=True, locks=("ntp.conf",))
def configure_ntp(context: ActionContext, server: TimeServer | None = None) -> str | None:
    """Make a server, or localhost, the only time source in ntp.conf or chrony.conf; null undoes it.

    The time service reads it when it is restarted, which is an action of its own.
    """
    planned = []
    for path, edit in configuration_files():
        before = read_config(path)
        after = edit(before, server)
        if after != before:
            planned.append((path, before, after))
    if context.dry_run:
        return "\n".join(difference(*one) for one in planned) or "would change nothing"
    for path, _, after in planned:
        replace_config(path, after)
    return None


def configuration_files(root: Path = Path("/")) -> list[tuple[Path, Edit]]:
    """Return the time services' files that are here, each with its kind of edit.

    Raises:
        ActionError: there is none.

    """
    found = [(root / name, edit) for name, edit in FILES if (root / name).is_file()]
    if not found:
        names = ", ".join(f"/{name}" for name, _ in FILES)
        raise ActionError(f"No such file or directory (os error 2): none of {names}")
    return found
