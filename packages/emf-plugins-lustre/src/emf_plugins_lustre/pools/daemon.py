"""The daemon ``ostpool``: which OST pools there are, on file systems whose first MDT is here."""

from __future__ import annotations

from typing import ClassVar

from emf_plugins_lustre.pools.listing import Pool, survey_pools
from emf_plugins_lustre.surveys import Survey, SurveyDaemon

__all__ = ["OstPools"]


class OstPools(SurveyDaemon[tuple[Pool, ...]]):
    """Sends file system -> pools; a file system that could not be listed keeps its last pools."""

    name: ClassVar[str] = "ostpool"

    async def survey(self) -> Survey[tuple[Pool, ...]]:
        """List the pools; none where no first MDT is served here."""
        return await survey_pools()

    async def update_session(self) -> dict[str, tuple[Pool, ...]] | None:
        """Return the pools known now.

        Raises:
            DaemonFault: a file system could not be listed.

        """
        return self.latest()
