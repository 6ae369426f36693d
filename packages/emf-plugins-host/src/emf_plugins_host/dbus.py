"""The door to D-Bus: one short-lived connection, one call at a time, and the signals between.

jeepney's sans-IO core over a socket of the loop that runs: dbus-fast was measured, too, and knows
asyncio only. Signals that arrive while a call waits are kept in order for :meth:`Bus.next_signal`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
import anyio.abc
from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_method_call
from jeepney.auth import BEGIN, AuthenticationError, Authenticator
from jeepney.low_level import Parser

from emf_agent.errors import ActionError

__all__ = [
    "Bus",
    "DBusError",
    "DBusRefusedError",
    "DBusUnavailableError",
    "Signal",
    "SystemBus",
    "get_property",
    "system_bus",
]

SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
CONNECT_WITHIN_S = 10.0
MOST_SIGNALS = 10_000
DRIVER = "org.freedesktop.DBus"
DRIVER_PATH = "/org/freedesktop/DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"
NOBODY = frozenset(
    {
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
        "org.freedesktop.systemd1.NoSuchUnit",
    }
)


class DBusError(ActionError):
    """Something on the bus went wrong."""


class DBusUnavailableError(DBusError):
    """There is no system bus here, or it went away."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the system bus does not answer ({why}); are dbus and systemd running?")


class DBusRefusedError(DBusError):
    """A service answered with an error; ``name`` is the error's D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text} ({name})" if text else name)
        self.name = name
        self.text = text

    @property
    def is_absence(self) -> bool:
        """Tell whether it means that nobody has the name that was called."""
        return self.name in NOBODY


@dataclass(frozen=True)
class Signal:
    """A signal as it came."""

    path: str
    interface: str
    member: str
    body: tuple[Any, ...]


class SystemBus(Protocol):
    """What rooms need of a bus; :class:`Bus`, or a fake in a test."""

    async def call(
        self,
        service: str,
        path: str,
        interface: str,
        method: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
    ) -> tuple[Any, ...]:
        """Call a method and return what it returned."""

    async def listen(self, **match: str) -> None:
        """Ask for signals that match."""

    async def next_signal(self) -> Signal:
        """Return the next signal, of those asked for and those sent to us alone."""


class Bus:
    """A connection to the system bus, for one task at a time."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._parser = Parser()
        self._serial = 0
        self._signals: deque[Signal] = deque()

    async def call(
        self,
        service: str,
        path: str,
        interface: str,
        method: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
    ) -> tuple[Any, ...]:
        """Call a method and return what it returned.

        Raises:
            DBusRefusedError: the service, or the bus for it, answered with an error.
            DBusUnavailableError: the connection ended.

        """
        message = new_method_call(
            DBusAddress(path, service, interface), method, signature or None, body
        )
        self._serial += 1
        serial = self._serial
        try:
            await self._stream.send(message.serialise(serial))
        except (OSError, anyio.BrokenResourceError) as error:
            raise DBusUnavailableError(str(error) or "the connection broke") from error
        while True:
            answer = await self._receive()
            if answer.header.fields.get(HeaderFields.reply_serial) == serial:
                return returned(answer)
            self._keep(answer)

    async def listen(self, **match: str) -> None:
        """Ask for signals; for example ``member="JobRemoved"``, ``arg2="a.service"``."""
        rule = ",".join(f"{key}='{value}'" for key, value in {"type": "signal", **match}.items())
        await self.call(DRIVER, DRIVER_PATH, DRIVER, "AddMatch", "s", (rule,))

    async def next_signal(self) -> Signal:
        """Return the next signal, of those asked for and those sent to us alone."""
        while not self._signals:
            self._keep(await self._receive())
        return self._signals.popleft()

    def _keep(self, message: Message) -> None:
        """Keep a signal; an answer that nobody waits for any more is dropped."""
        if message.header.message_type is not MessageType.signal:
            return
        if len(self._signals) >= MOST_SIGNALS:
            raise DBusUnavailableError(f"{MOST_SIGNALS} signals wait unread")
        fields = message.header.fields
        self._signals.append(
            Signal(
                path=fields.get(HeaderFields.path, ""),
                interface=fields.get(HeaderFields.interface, ""),
                member=fields.get(HeaderFields.member, ""),
                body=tuple(message.body),
            )
        )

    async def _receive(self) -> Message:
        while (message := self._parser.get_next_message()) is None:
            try:
                self._parser.add_data(await self._stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
                raise DBusUnavailableError("the connection was closed") from error
            except ValueError as error:
                raise DBusUnavailableError(f"it sent what is no message: {error}") from error
        return message

    async def greet(self) -> None:
        """Say who we are (the process's user) and get a name on the bus."""
        authenticator = Authenticator()
        for data in authenticator:
            await self._stream.send(data)
            authenticator.feed(await self._stream.receive())
        await self._stream.send(BEGIN)
        await self.call(DRIVER, DRIVER_PATH, DRIVER, "Hello")


def returned(answer: Message) -> tuple[Any, ...]:
    """Return the values of an answer, or raise the error that it is."""
    if answer.header.message_type is MessageType.error:
        name = str(answer.header.fields.get(HeaderFields.error_name, "unnamed error"))
        text = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
        raise DBusRefusedError(name, text)
    return tuple(answer.body)


@asynccontextmanager
async def system_bus() -> AsyncGenerator[Bus, None]:
    """Connect to the system bus; the address is that of ``DBUS_SYSTEM_BUS_ADDRESS``, or usual.

    Raises:
        DBusUnavailableError: there is none, or it does not let us in.

    """
    path = socket_path(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS)
    try:
        with anyio.fail_after(CONNECT_WITHIN_S):
            stream = await anyio.connect_unix(path)
    except (OSError, TimeoutError) as error:
        raise DBusUnavailableError(f"{path}: {error or 'no answer'}") from error
    async with stream:
        bus = Bus(stream)
        try:
            with anyio.fail_after(CONNECT_WITHIN_S):
                await bus.greet()
        except (AuthenticationError, TimeoutError, OSError, anyio.BrokenResourceError) as error:
            raise DBusUnavailableError(f"{path}: {error or 'no answer'}") from error
        except anyio.EndOfStream as error:
            raise DBusUnavailableError(f"{path}: it closed the connection") from error
        yield bus


def socket_path(address: str) -> str:
    """Return the socket of the first address that is a path (D-Bus specification, addresses)."""
    for one in address.split(";"):
        transport, _, options = one.partition(":")
        values = dict(part.split("=", 1) for part in options.split(",") if "=" in part)
        if transport == "unix" and "path" in values:
            return values["path"]
    raise DBusUnavailableError(f"{address!r} is not the address of a socket in the file system")


async def get_property(bus: SystemBus, service: str, path: str, interface: str, name: str) -> Any:
    """Return one property of an object; a few of these are faster than reading all it has."""
    ((_, value),) = await bus.call(service, path, PROPERTIES, "Get", "ss", (interface, name))
    return value
