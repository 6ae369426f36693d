"""``rsync``, ``mpirun ... dsync`` and ``stgm_cloudsync`` of a simulated node: they really copy."""

from __future__ import annotations

import os
import shutil

from emf_plugins_lustre.testing.exits import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = ["answer"]

PARTIAL_TRANSFER = 23


def answer(simulation: Simulation, name: str, arguments: Sequence[str]) -> str:
    """Answer one call."""
    words = list(arguments)
    if name == "stgm_cloudsync":
        return cloud(simulation, words)
    source, destination = words[-2:]
    try:
        copy(source, destination)
    except OSError as error:
        raise Exit(PARTIAL_TRANSFER, f"{name}: {source}: {error.strerror}") from error
    return ""


def copy(source: str, destination: str) -> None:
    """Copy a file or a folder."""
    if os.path.isdir(source):  # noqa: PTH112 - pathlib is slow to import
        shutil.copytree(source, destination, dirs_exist_ok=True)
    else:
        shutil.copy2(source, destination)


def cloud(simulation: Simulation, words: Sequence[str]) -> str:
    """Copy to or from objects, which are files of the node's own folder."""
    verb, source, destination = words
    remote = destination if verb == "push" else source
    place, _, name = remote.partition(":")
    stored = f"{simulation.folder}/objects/{place}/{name}"
    try:
        if verb == "push":
            os.makedirs(os.path.dirname(stored), exist_ok=True)  # noqa: PTH103, PTH120 - as above
            copy(source, stored)
        else:
            copy(stored, destination)
    except OSError as error:
        raise Exit(1, f"stgm_cloudsync: {remote}: {error.strerror}") from error
    return ""
