"""A fake system bus: speaks real D-Bus on a socket, answers what a test tells it to."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.low_level import MessageType, Parser

__all__ = ["FakeBus", "Refusal", "Reply"]

Reply = tuple[str, tuple[Any, ...]]
"""A signature and the values."""


class Refusal(Exception):  # noqa: N818 - what a service answers
    """Answer a call with a D-Bus error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


class FakeBus:
    """Listens on a socket in a thread of its own until closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[tuple[str, str], Callable[..., Reply]] = {}
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.before_reply: list[tuple[str, str, str, str, tuple[Any, ...]]] = []
        """Signals (path, interface, member, signature, values) to send before the next answer."""
        self.after_reply: list[tuple[str, str, str, str, tuple[Any, ...]]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._connections: list[socket.socket] = []
        self.on("org.freedesktop.DBus", "Hello", lambda: ("s", (":1.7",)))
        self.on("org.freedesktop.DBus", "AddMatch", lambda _: ("", ()))
        threading.Thread(target=self._accept, daemon=True).start()

    def on(self, interface: str, member: str, answer: Callable[..., Reply]) -> None:
        """Let a method be answered; ``answer`` takes the call's values."""
        self.answers[interface, member] = answer

    def called(self, member: str) -> list[tuple[Any, ...]]:
        """Return the values of each call of a method."""
        return [body for name, body in self.calls if name == member]

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"AUTH EXTERNAL" not in data or not data.endswith(b"\r\n"):
                data += connection.recv(4096)
            uid = str(os.geteuid()).encode().hex().encode()
            assert uid in data
            connection.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
            data = b""
            while b"BEGIN\r\n" not in data:
                data += connection.recv(4096)
            parser = Parser()
            parser.add_data(data.partition(b"BEGIN\r\n")[2])
            serial = 0
            while True:
                while (message := parser.get_next_message()) is None:
                    part = connection.recv(65536)
                    if not part:
                        return
                    parser.add_data(part)
                answer = self._answer(message)
                early, self.before_reply = self.before_reply, []
                late, self.after_reply = self.after_reply, []
                for one in (*map(signal, early), answer, *map(signal, late)):
                    serial += 1
                    connection.sendall(one.serialise(serial))

    def _answer(self, call: Message) -> Message:
        assert call.header.message_type is MessageType.method_call
        fields = call.header.fields
        member = fields[HeaderFields.member]
        self.calls.append((member, tuple(call.body)))
        answer = self.answers.get((fields[HeaderFields.interface], member))
        if answer is None:
            name = "org.freedesktop.DBus.Error.UnknownMethod"
            return new_error(call, name, "s", (f"no method {member}",))
        try:
            signature, values = answer(*call.body)
        except Refusal as refusal:
            return new_error(call, refusal.name, "s", (refusal.text,))
        return new_method_return(call, signature or None, values)


def signal(given: tuple[str, str, str, str, tuple[Any, ...]]) -> Message:
    path, interface, member, signature, values = given
    return new_signal(DBusAddress(path, "x.y", interface), member, signature, values)
