"""Beginning and end of a serving manager: everything is opened in order and closed in reverse."""

from __future__ import annotations

import functools
import logging
import shutil
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import uvicorn

from emf_agent.errors import ConfigurationError
from emf_manager.alert_book import open_alerts
from emf_manager.alerts.conditions import Room
from emf_manager.api.pace import Pace, Rate
from emf_manager.api.plan_check import STEP_OPTIONS
from emf_manager.engine import Engine, open_engine
from emf_manager.history.book import open_history
from emf_manager.identity.membership import Membership
from emf_manager.limits import Limits
from emf_manager.mailboxes.shelf import Shelf
from emf_manager.plan_book import PlanBook
from emf_manager.safe import open_safe
from emf_manager.server.application import EngineFleet, create_app
from emf_manager.server.bounded_head import BoundedHead
from emf_manager.server.data_dir import only_server, prepare_data_dir
from emf_manager.server.own_identity import ServerIdentity
from emf_manager.server.secured import Door, SecuredConnection, cut_read_buffers
from emf_manager.server.trusted_proxy import BehindProxies, parse_networks
from emf_manager.settings import Listen, Settings
from emf_manager.store.sql import open_store

__all__ = ["Ready", "serve"]

logger = logging.getLogger(__name__)

BACKLOG = 2048
KEEP_ALIVE_S = 120
"""Longer than the agents' own 90 s, so that a request never meets a connection just closed."""
GRACE_S = 3
"""For running requests at the end; hanging ones have been answered by then."""


@dataclass(frozen=True)
class Ready:
    """Said once, when requests are being served."""

    url: str
    port: int
    authority_sha256: str


async def serve(
    settings: Settings,
    *,
    stop: anyio.Event,
    on_ready: Callable[[Ready], None],
    limits: Limits | None = None,
) -> None:
    """Serve until told to stop, then end within five seconds.

    Raises:
        ConfigurationError: the directory, the authority, the address. StoreError: the store.

    """
    proxies = parse_networks(settings.trusted_proxies)
    prepare_data_dir(settings.data_dir)
    with only_server(settings.data_dir), listening(settings.listen) as sock:
        identity = ServerIdentity(settings)
        safe = open_safe(settings.seal_key)
        async with (
            open_store(settings.store_url) as store,
            open_engine(store, limits=limits or limits_of(settings), safe=safe) as engine,
            open_alerts(
                store.alerts, store, engine, room=functools.partial(room_at, settings.data_dir)
            ) as alerts,
            open_history(store.history, engine.seats, keep_s=settings.history_s) as history,
        ):
            membership = Membership(store, EngineFleet(engine))
            await membership.start()
            shelf = Shelf(settings.mailbox_dir)
            plans = PlanBook(store.plans, store, engine, options=STEP_OPTIONS, safe=safe)
            app = create_app(
                engine,
                store,
                alerts,
                history,
                plans,
                lambda: identity.authorities,
                membership,
                shelf,
                pace_of(settings),
                safe,
            )
            app = BehindProxies(app, proxies, lambda: identity.authorities)
            server = Server(configuration(app, identity))
            url = url_of(settings.listen, sock.getsockname()[1])
            ready = Ready(url, sock.getsockname()[1], identity.authorities.issuing.fingerprint)
            with said_where(settings.url_file, url):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(membership.watch)
                    tasks.start_soon(plans.run)
                    tasks.start_soon(identity.keep)
                    tasks.start_soon(end_when_told, stop, server, engine)
                    server.on_start = functools.partial(on_ready, ready)
                    await server.serve(sockets=[sock])
                    tasks.cancel_scope.cancel()


class Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to us and says when it has started."""

    on_start: Callable[[], None]

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave every signal alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.on_start()


def configuration(app: Any, door: Door) -> uvicorn.Config:
    """Return how uvicorn is to serve; TLS is made by our connections, not by its socket."""
    connection: Any = functools.partial(SecuredConnection, door=door, make_http=BoundedHead)
    cut_read_buffers()
    return uvicorn.Config(
        app,
        http=connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def limits_of(settings: Settings) -> Limits:
    """Return the paces of the engine: a node asks at least twice within its lease."""
    ordinary = Limits()
    return replace(
        ordinary,
        lease_s=settings.lease_s,
        poll_s=min(ordinary.poll_s, settings.lease_s / 2.4),
        ancestor_poll_s=min(ordinary.ancestor_poll_s, settings.lease_s / 2),
    )


def pace_of(settings: Settings) -> Pace:
    """Return the limits of the API."""
    per_s = settings.requests_per_s
    return Pace(callers=Rate(per_s, max(1, int(10 * per_s))))


def room_at(directory: Path) -> Room | None:
    """Return how full the disk under a directory is; None where it does not tell."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError as error:
        logger.warning("cannot tell how full %s is: %s", directory, error.strerror)
        return None
    return Room(str(directory), usage.total, usage.free)


async def end_when_told(stop: anyio.Event, server: uvicorn.Server, engine: Engine) -> None:
    """Answer what hangs first, so that the server has little to wait for."""
    await stop.wait()
    logger.info("stopping: hanging requests are answered, event streams end")
    engine.close()
    server.should_exit = True


@contextmanager
def listening(listen: Listen) -> Generator[socket.socket, None, None]:
    """Bind, so that a wrong address fails before anything else is done.

    Raises:
        ConfigurationError: the address is not ours, taken, or not allowed.

    """
    both = listen.host == "::" and socket.has_dualstack_ipv6()
    host = "0.0.0.0" if listen.host == "::" and not both else listen.host  # noqa: S104 - asked for
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio turns Nagle's algorithm off only where the protocol is said to be TCP: without
        # this every small answer waits 40 ms.
        sock = socket.socket(family, kind, socket.IPPROTO_TCP)
    except OSError as error:
        raise cannot_listen(listen, error) from error
    with sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as error:
            raise cannot_listen(listen, error) from error
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        yield sock


def cannot_listen(listen: Listen, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        [f"cannot listen at {listen.host}:{listen.port}: {error.strerror or error}"]
    )


@contextmanager
def said_where(file: Path, url: str) -> Generator[None, None, None]:
    """Keep the address in a file while serving, for the admin commands to repeat."""
    file.write_text(f"{url}\n", encoding="utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def url_of(listen: Listen, port: int) -> str:
    """Return the address to give to others."""
    host = socket.gethostname() if listen.is_wildcard else listen.host
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
