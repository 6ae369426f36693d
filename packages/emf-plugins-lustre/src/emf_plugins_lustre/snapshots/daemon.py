"""The daemon ``snapshot``: the snapshots of file systems whose first MDT is here."""

from __future__ import annotations

from typing import ClassVar

from emf_plugins_lustre.snapshots.listing import Snapshot, survey_snapshots
from emf_plugins_lustre.surveys import Survey, SurveyDaemon

__all__ = ["Snapshots"]


class Snapshots(SurveyDaemon[tuple[Snapshot, ...]]):
    """Sends file system -> snapshots; one that could not be listed keeps its last ones."""

    name: ClassVar[str] = "snapshot"

    async def survey(self) -> Survey[tuple[Snapshot, ...]]:
        """List the snapshots; none where no first MDT is served here."""
        return await survey_snapshots()

    async def update_session(self) -> dict[str, tuple[Snapshot, ...]] | None:
        """Return the snapshots known now.

        Raises:
            DaemonFault: a file system could not be listed.

        """
        return self.latest()
