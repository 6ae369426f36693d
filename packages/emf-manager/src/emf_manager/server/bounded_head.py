"""uvicorn's HTTP protocol with a limit on a request's head, which httptools does not have (R16)."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MAX_HEAD", "BoundedHead"]

MAX_HEAD = 64 * 1024
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class BoundedHead(HttpToolsProtocol):
    """Counts what comes in between requests and ends a connection whose head has no end."""

    head = 0
    in_body = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the limit."""
        if not self.in_body:
            self.head += len(data)
            if self.head > MAX_HEAD + len(data):
                self.transport.write(TOO_LARGE)
                self.transport.close()
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is over; the routes limit the body."""
        self.in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is over."""
        self.head, self.in_body = 0, False
        super().on_message_complete()
