"""The errors of the agent: few, flat, each says what happened and what to do.

``EmfError``
    Base of them all; the command line prints it as one line, without a traceback.

    ``UsageError``              a wrong flag, name or argument on the command line (exit 2)
    ``ConfigurationError``      the configuration or the allowlist is invalid (exit 78)
    ``RefusedError``            policy or allowlist said no (exit 5)
    ``ManagerUnreachableError`` no answer from the manager; worth retrying (exit 69)
    ``ManagerRefusedError``     the manager answered, and said no
    ``ProtocolError``           a peer sent what the protocol does not allow
    ``JournalError``            the agent's database cannot take a record now
    ``ActionError``             what an action raises to answer ``{"Err": text}``

        ``CommandError``        a program could not be started, failed, or ran out of time

A daemon's own kinds (not ready, not applicable, fault) live with the plugin API.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ActionError",
    "CommandError",
    "ConfigurationError",
    "EmfError",
    "JournalError",
    "ManagerRefusedError",
    "ManagerUnreachableError",
    "ProtocolError",
    "RefusedError",
    "UsageError",
]


class EmfError(Exception):
    """Base of every error this project raises on purpose."""

    exit_code = 1


class UsageError(EmfError):
    """A command was called in a way it does not understand."""

    exit_code = 2


class ConfigurationError(EmfError):
    """The configuration is invalid; carries every fault found, not only the first."""

    exit_code = 78

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class RefusedError(EmfError):
    """A rule said no: the allowlist, the local policy, or a limit."""

    exit_code = 5


class ManagerUnreachableError(EmfError):
    """The manager did not answer; worth retrying."""

    exit_code = 69

    def __init__(self, url: str, why: str) -> None:
        # What TLS says of a certificate's times is as often about the clock that it reads.
        timely = any(words in why for words in ("not yet valid", "has expired"))
        check = "this node's clock" if timely else "the address"
        super().__init__(f"{url} did not answer ({why}); check {check} and the certificate")
        self.url = url
        self.why = why


class ManagerRefusedError(EmfError):
    """The manager answered with an error status."""

    def __init__(self, url: str, status: int, why: str) -> None:
        super().__init__(f"{url} refused with status {status}: {why}")
        self.url = url
        self.status = status
        self.why = why


class ProtocolError(EmfError):
    """A message that the protocol does not allow; the message is dropped and counted."""


class JournalError(EmfError):
    """The journal cannot take a record: the disk is full, read-only or broken."""


class ActionError(EmfError):
    """Raised by an action to answer ``{"Err": text}`` with exactly this text."""


class CommandError(ActionError):
    """A program could not be started, exited with a failure, or ran out of time."""
