"""How a simulated program ends: with a status and a word on standard error."""

from __future__ import annotations

__all__ = ["Exit"]


class Exit(Exception):  # noqa: N818 - it ends a program, like SystemExit
    """Ends the program; what it changed until then is kept only where ``keeps`` says so."""

    def __init__(
        self, status: int, stderr: str = "", stdout: str = "", *, keeps: bool = False
    ) -> None:
        super().__init__(stderr)
        self.status = status
        self.stderr = stderr
        self.stdout = stdout
        self.keeps = keeps
