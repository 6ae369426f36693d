"""An HTTPS server that a test tells what to answer: a scripted manager, over real TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme

__all__ = ["Answer", "Server", "serving"]


@dataclass
class Answer:
    status: int = 200
    body: bytes = b'{"messages": []}'
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None


class Server:
    """An HTTPS server that asks for a client certificate and answers as told."""

    def __init__(self, identity: trustme.LeafCert, authority: trustme.CA) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer = Answer()
        self.decide: Callable[[str, str, dict[str, str], bytes], Answer] | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append((self.command, self.path, headers, body))
                answer = server.answer
                if server.decide is not None:
                    answer = server.decide(self.command, self.path, headers, body)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body[: answer.cut_at])
                if answer.cut_at is not None:
                    self.close_connection = True

            do_GET = do_POST = do  # noqa: N815 - the names that http.server wants

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        identity.configure_cert(context)
        context.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.http.socket = context.wrap_socket(
            self.http.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self.http.server_port
        self.url = f"https://127.0.0.1:{self.port}"


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: refused handshakes are what is tested."""


@contextmanager
def serving(identity: trustme.LeafCert, authority: trustme.CA) -> Generator[Server]:
    server = Server(identity, authority)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
