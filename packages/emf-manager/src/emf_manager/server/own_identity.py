"""The server's own identity while it serves: its authorities, its certificate, whom it trusts.

Another process, ``emf-manager ca rotate``, may change the authorities; a running server takes that
up within a second. Connections that are open go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import anyio
import anyio.to_thread

from emf_agent.errors import ConfigurationError
from emf_manager.identity.authorities import Authorities, open_authorities, rotation_mark
from emf_manager.identity.peer import Peer
from emf_manager.server.certificate import (
    ServerCertificate,
    open_server_certificate,
    server_names,
)
from emf_manager.server.secured import ServerContext
from emf_manager.settings import Settings

__all__ = ["ServerIdentity"]

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TRY_AGAIN_S = 60.0


class ServerIdentity:
    """What each new connection is shown, and whom it may come from."""

    authorities: Authorities
    context: ServerContext

    def __init__(self, settings: Settings, *, wall: Callable[[], float] = time.time) -> None:
        """Open it.

        Raises:
            ConfigurationError: the authority's folder, the server's, or a name.

        """
        self._settings = settings
        self._names = server_names(settings.listen, settings.names)
        self._wall = wall
        self._mark = rotation_mark(settings.authority_dir)
        self._certificate: ServerCertificate
        self.take()

    def take(self) -> None:
        """Read everything anew; what fails leaves everything as it was.

        Raises:
            ConfigurationError: as for opening.

        """
        now, settings = self._wall(), self._settings
        authorities = open_authorities(settings.authority_dir, now=now)
        certificate = open_server_certificate(
            settings.server_dir, authorities.issuing, self._names, now=now
        )
        context = ServerContext(authority_pem=authorities.pem)
        context.load_cert_chain(certificate.path)
        self.authorities, self._certificate, self.context = authorities, certificate, context

    def still_trusts(self, peer: Peer) -> bool:
        """Tell whether a peer's authority is one of ours now."""
        return peer.authority is not None and self.authorities.knows(peer.authority)

    async def keep(self) -> None:
        """Follow each step of a rotation, and renew the server's certificate in time, for ever."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            mark = rotation_mark(self._settings.authority_dir)
            if mark == self._mark and not self._certificate.is_due(self._wall()):
                continue
            try:
                await anyio.to_thread.run_sync(self.take)
            except (ConfigurationError, OSError) as error:
                logger.error("the server's identity stays as it was, trying again: %s", error)
                await anyio.sleep(TRY_AGAIN_S)
                continue
            if mark != self._mark:
                logger.info(
                    "authorities are %s now, issuing is %s",
                    self.authorities.rotation.phase,
                    self.authorities.issuing.fingerprint,
                )
            self._mark = mark
