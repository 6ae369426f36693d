"""Which file is started, with which arguments and environment; nothing is inherited (R21-R24)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emf_agent.command.failures import CommandNotFoundError, CommandNotStartedError
from emf_agent.command.output import Redaction
from emf_agent.plugin.secret import Secret

__all__ = ["FIXED_PATH", "Argument", "Call", "build_call", "build_environment", "find_program"]

FIXED_PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")

Argument = str | os.PathLike[str] | Secret


@dataclass(frozen=True)
class Call:
    """A program's arguments as it gets them, and as people may see them."""

    argv: tuple[str, ...]
    shown: tuple[str, ...]
    secrets: tuple[str, ...]


def build_call(arguments: Sequence[Argument], secrets: Sequence[str]) -> Call:
    """Check the arguments; raises TypeError for what is no list of arguments at all."""
    if isinstance(arguments, (str, bytes)):
        raise TypeError(
            "argv is a list of arguments, not one string; there is no shell to split it"
        )
    if not arguments:
        raise TypeError("argv is empty; its first item is the program")
    hidden = (*secrets, *(a.reveal() for a in arguments if isinstance(a, Secret)))
    argv = []
    for position, argument in enumerate(arguments):
        text = argument.reveal() if isinstance(argument, Secret) else os.fspath(argument)
        if not isinstance(text, str):
            raise TypeError(f"argument {position} is {type(text).__name__}, not str")
        if "\0" in text:
            raise CommandNotStartedError(
                str(arguments[0]), f"argument {position} contains a NUL byte"
            )
        argv.append(text)
    return Call(tuple(argv), tuple(map(Redaction(hidden), argv)), hidden)


def find_program(name: str, search_path: Sequence[str]) -> str:
    """Return the absolute path of a program, never one relative to a working directory.

    Raises CommandNotFoundError, or CommandNotStartedError for a file that must not be run.
    """
    if "/" in name:
        if not name.startswith("/"):
            raise CommandNotStartedError(
                name, "a program is named by its bare name or its absolute path"
            )
        check_program(name)
        return name
    for directory in search_path:
        path = f"{directory}/{name}"
        if name and os.path.isfile(path):  # noqa: PTH113 - on the path of every start
            check_program(path)
            return path
    raise CommandNotFoundError(name, search_path)


def check_program(path: str) -> None:
    """Raise unless the file may be run; root does not run what somebody else can change (R23)."""
    try:
        status = os.stat(path)  # noqa: PTH116 - on the path of every start
    except FileNotFoundError:
        raise CommandNotFoundError(path) from None
    except OSError as error:
        raise CommandNotStartedError.from_os(path, error) from error
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
        raise CommandNotStartedError(path, "Permission denied (os error 13)")
    if os.geteuid() != 0:
        return
    if status.st_uid != 0:
        raise CommandNotStartedError(
            path, f"refused: it belongs to user {status.st_uid}, not to root; chown it"
        )
    foreign_group = status.st_gid != 0 and status.st_mode & stat.S_IWGRP
    if foreign_group or status.st_mode & stat.S_IWOTH:
        raise CommandNotStartedError(path, "refused: others than root can write it; chmod go-w it")


def build_environment(
    search_path: Sequence[str], declared: Mapping[str, str] | None
) -> dict[str, str]:
    """Return the whole environment of a child: the fixed set, then what the call declares.

    A program finds its own tools beside those of ``search_path`` on the fixed path.
    """
    path = dict.fromkeys((*search_path, *FIXED_PATH))
    environment = {
        "PATH": ":".join(path),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "HOME": "/",
        "TZ": "UTC",
    }
    for name, value in (declared or {}).items():
        if not name or "=" in name or "\0" in name + value:
            raise CommandNotStartedError(name, "is no name or value for an environment variable")
        environment[name] = value
    return environment
