"""``emf-lustre-metrics``: recorded outputs in, what the node would have served out.

For support bundles and a colleague's paste. It runs no program and asks no node.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import re
import sys
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from emf_plugins_lustre.stats.dump import read_dump
from emf_plugins_lustre.stats.exposition_compat import CompatExposition
from emf_plugins_lustre.stats.exposition_jobs import JobExposition, compat_jobs
from emf_plugins_lustre.stats.exposition_native import NativeExposition
from emf_plugins_lustre.stats.exposition_native_jobs import native_jobs
from emf_plugins_lustre.stats.exposition_text import END
from emf_plugins_lustre.stats.job_pipeline import JobPipeline
from emf_plugins_lustre.stats.job_selection import JobCriteria
from emf_plugins_lustre.stats.lnet import LARGEST_DOCUMENT, read_lnet
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.record_json import job_json, record_json
from emf_plugins_lustre.stats.records import Job, Record

__all__ = ["main"]

CHUNK = 128 * 1024
SHOWN_LOSSES = 100
GZIP = b"\x1f\x8b"
Source = Literal["lctl", "jobstats", "lnet"]


@dataclass(frozen=True)
class Given:
    """One input: what it holds, and where it is (``-`` is standard input)."""

    source: Source
    path: str

    @property
    def shown(self) -> str:
        """The name people are told."""
        return "<stdin>" if self.path == "-" else self.path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; the exit code is 0, 1 (``--strict`` and something was lost), or 2 (usage)."""
    parser = _parser()
    options = parser.parse_args(argv)
    given = [Given(source, path) for source, path in options.inputs or ()]
    if not given:
        parser.error("give at least one recorded output, for example --lctl FILE")
    if sum(item.path == "-" for item in given) > 1:
        parser.error("standard input (-) can be read once only")
    run = _Run(options)
    try:
        for piece in run.output(given):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read us has enough; the interpreter must not complain when it flushes again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as exc:
        print(f"emf-lustre-metrics: {exc}", file=sys.stderr)
        return 2
    run.report(sys.stderr)
    return 1 if options.strict and run.losses.total else 0


class _Run:
    """One run of the tool."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.losses = Losses()
        self._options = options
        self._criteria = JobCriteria(
            include=options.job_include,
            exclude=options.job_exclude,
            least_operations=options.least_operations,
            top=options.top,
            rank=options.rank,
        )
        self._skip_zero = options.skip_zero
        if self._skip_zero is None:
            self._skip_zero = options.mode == "native" and not options.records

    def output(self, given: Sequence[Given]) -> Iterator[bytes]:
        """Yield the output in pieces, while the input is read."""
        return self._records(given) if self._options.records else self._metrics(given)

    def report(self, stream: IO[str]) -> None:
        """Say what could not be read, with file and line."""
        for loss in self.losses.shown[:SHOWN_LOSSES]:
            print(loss, file=stream)
        more = self.losses.total - min(len(self.losses.shown), SHOWN_LOSSES)
        if more > 0:
            print(f"and {more} more; in all:", file=stream)
            for (param, reason), number in self.losses.counts.most_common():
                print(f"  {number} {param}: {reason}", file=stream)

    def _metrics(self, given: Sequence[Given]) -> Iterator[bytes]:
        native = self._options.mode == "native"
        exposition = NativeExposition() if native else CompatExposition()
        jobs: JobExposition = native_jobs() if native else compat_jobs()
        with jobs:
            for found in self._read_all(given):
                if isinstance(found, Record):
                    exposition.add(found)
                else:
                    jobs.add(found)
            yield from jobs.text()
            for text in exposition.families.text():
                yield text.encode("utf-8", "replace")
            yield END.encode()

    def _records(self, given: Sequence[Given]) -> Iterator[bytes]:
        for found in self._read_all(given):
            if isinstance(found, Record):
                yield _line(record_json(found))
            else:
                yield b"".join([_line(job_json(job)) for job in found])

    def _read_all(self, given: Sequence[Given]) -> Iterator[Record | list[Job]]:
        for item in given:
            losses = Losses(item.shown)
            try:
                yield from self._read(item, losses)
            finally:
                self.losses.merge(losses)

    def _read(self, item: Given, losses: Losses) -> Iterator[Record | list[Job]]:
        ready: list[Job] = []

        def done() -> Iterator[list[Job]]:
            if ready:
                yield ready.copy()
                ready.clear()

        pipeline = JobPipeline(
            losses, ready.extend, criteria=self._criteria, skip_zero_rows=self._skip_zero
        )
        with _opened(item.path) as file:
            if item.source == "lctl":
                for record in read_dump(_chunks(file), losses, pipeline.feed):
                    yield from done()
                    yield record
            elif item.source == "lnet":
                yield from read_lnet(file.read(LARGEST_DOCUMENT + 1), losses)
            else:
                for chunk in _chunks(file):
                    pipeline.feed(chunk)
                    yield from done()
        pipeline.close()
        yield from done()


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


@contextmanager
def _opened(path: str) -> Generator[IO[bytes], None, None]:
    """Open a recorded output; one that is compressed with gzip is read through it."""
    with ExitStack() as stack:
        if path == "-":
            file: IO[bytes] = sys.stdin.buffer
        else:
            file = stack.enter_context(Path(path).open("rb"))
        peeked = file.peek(2)[:2] if isinstance(file, io.BufferedReader) else b""
        if peeked == GZIP:
            unpacked = gzip.GzipFile(fileobj=file)
            stack.callback(unpacked.close)
            file = cast("IO[bytes]", unpacked)
        yield file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    try:
        while chunk := file.read(CHUNK):
            yield chunk
    except (EOFError, zlib.error) as exc:
        raise OSError(f"the compressed input is damaged: {exc}") from exc


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {exc}") from exc


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above zero")
    return int(text)


class _Input(argparse.Action):
    """Collects inputs of all kinds in the order they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - the signature is argparse's
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        source = _SOURCES[(option_string or "").lstrip("-")]
        namespace.inputs = [*(namespace.inputs or ()), (source, values)]


_SOURCES: dict[str, Source] = {
    "lctl": "lctl",
    "jobstats": "jobstats",
    "lnet-net": "lnet",
    "lnet-stats": "lnet",
    "lnet-global": "lnet",
    "lnet-peer": "lnet",
}
_INPUT_HELP = {
    "lctl": "output of lctl get_param with any parameters",
    "jobstats": "output of lctl get_param with job_stats",
    "lnet-net": "output of lnetctl net show -v 4",
    "lnet-stats": "output of lnetctl stats show",
    "lnet-global": "output of lnetctl global show",
    "lnet-peer": "output of lnetctl peer show -v 4",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="emf-lustre-metrics",
        description="Turn recorded outputs of a Lustre node into the metrics it would have served.",
        epilog="What could not be read is named on standard error with file and line. "
        "Exit code 0, or 1 with --strict where something was lost; 2 for wrong usage.",
        allow_abbrev=False,
    )
    inputs = parser.add_argument_group("inputs (- is standard input; gzip is recognised)")
    for name, text in _INPUT_HELP.items():
        inputs.add_argument(
            f"--{name}", action=_Input, metavar="FILE", help=text, dest="inputs", default=None
        )
    parser.add_argument(
        "--mode",
        choices=("compat", "native"),
        default="compat",
        help="the field's exporter metric for metric (default), or base units and latencies",
    )
    parser.add_argument("--records", action="store_true", help="print typed records as JSON lines")
    parser.add_argument("--strict", action="store_true", help="exit 1 where anything was lost")
    jobs = parser.add_argument_group("jobs")
    zeros = jobs.add_mutually_exclusive_group()
    zeros.add_argument(
        "--skip-zero",
        action="store_true",
        default=None,
        help="leave out operations without a sample (default in native mode)",
    )
    zeros.add_argument("--all-rows", action="store_false", dest="skip_zero", default=None)
    jobs.add_argument("--job-include", type=_pattern, metavar="RE", help="only ids that match")
    jobs.add_argument("--job-exclude", type=_pattern, metavar="RE", help="no ids that match")
    jobs.add_argument("--least-operations", type=_positive, default=0, metavar="N")
    jobs.add_argument("--top", type=_positive, metavar="N", help="the busiest N of each target")
    jobs.add_argument("--rank", choices=("operations", "bytes", "time"), default="operations")
    return parser


if __name__ == "__main__":
    sys.exit(main())
