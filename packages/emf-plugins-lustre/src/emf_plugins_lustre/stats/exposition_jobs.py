"""Jobs as exposition text, streamed: nothing grows with the number of jobs but files.

A job id that occurs twice on a target would be two samples of one series, which Prometheus
refuses; the later one wins while the earlier is still in the window, and is left out after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType

from emf_plugins_lustre.stats.compat_families import JOB_FAMILIES
from emf_plugins_lustre.stats.exposition_text import Family, escaped
from emf_plugins_lustre.stats.records import Job
from emf_plugins_lustre.stats.spool import Spools

__all__ = ["JobExposition", "JobPieces", "compat_jobs"]

# Small, so that few objects grow old in it: what grows old brings on full garbage collections,
# and the event loop waits for those.
WINDOW_CHARACTERS = 1 << 18
REMEMBERED = 1 << 15

JobPieces = Callable[[Job], list[str]]
"""A job's lines: one text for each family, empty where it has no sample."""


class JobExposition:
    """Takes jobs, gives text; ``duplicates`` counts those that another one replaced."""

    def __init__(self, families: Sequence[Family], pieces: JobPieces) -> None:
        self.jobs = 0
        self.samples = 0
        self.duplicates = 0
        self._count = len(families)
        self._pieces = pieces
        self._spools = Spools(families)
        self._window: dict[tuple[str, bytes], list[str]] = {}
        self._window_size = 0
        self._flushed = False
        self._written: tuple[set[int], set[int]] = (set(), set())

    def add(self, jobs: Iterable[Job]) -> None:
        """Take jobs; call it from a worker thread where there are many."""
        for job in jobs:
            key = (job.target, job.raw_id)
            if key in self._window:
                self.duplicates += 1
            elif self._flushed and self._was_written(hash(key)):
                self.duplicates += 1
                continue
            else:
                self.jobs += 1
            pieces = self._window[key] = self._pieces(job)
            self._window_size += sum(map(len, pieces))
            if self._window_size > WINDOW_CHARACTERS:
                self._flush()

    def text(self) -> Iterator[bytes]:
        """Yield the families; call it once, at the end.

        Sorted by label text where the whole fits the window, in the order of the dump where not.
        """
        self._flush(in_order=not self._flushed)
        yield from self._spools.text()

    def close(self) -> None:
        """Give the spools back."""
        self._spools.close()

    def __enter__(self) -> JobExposition:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _flush(self, *, in_order: bool = False) -> None:
        for index, texts in enumerate(zip(*self._window.values(), strict=True)):
            self.samples += sum([text.count("\n") for text in texts])
            if in_order:
                lines = "".join(texts).split("\n")[:-1]
                lines.sort(key=lambda line: line.rpartition("} ")[0])
                self._spools.write(index, [f"{line}\n" for line in lines])
            else:
                self._spools.write(index, texts)
        old, young = self._written
        young.update(map(hash, self._window))
        if len(young) > REMEMBERED:
            self._written = (young, set())
        del old
        self._window = {}
        self._window_size = 0
        self._flushed = True

    def _was_written(self, key: int) -> bool:
        return key in self._written[0] or key in self._written[1]


_OST_OPERATIONS = {
    "getattr",
    "setattr",
    "punch",
    "sync",
    "destroy",
    "create",
    "statfs",
    "get_info",
    "set_info",
    "quotactl",
}
_SIZES = {"read_bytes": 0, "write_bytes": 4}
_STATS = len(JOB_FAMILIES) - 1


def compat_jobs() -> JobExposition:
    """Return an exposition with the metrics of the field's exporter."""
    return JobExposition(JOB_FAMILIES, _CompatPieces().pieces)


class _CompatPieces:
    """The lines of a job; what does not change within a target is made once for it."""

    def __init__(self) -> None:
        self._target: tuple[str, str] | None = None
        self._middles: dict[str, str] = {}

    def pieces(self, job: Job) -> list[str]:
        if (job.kind, job.target) != self._target:
            self._target = (job.kind, job.target)
            self._middles = {}
        # The reference's label is the id as printed, without any quotes.
        label = escaped(job.job_id_raw.replace('"', ""))
        labels = f'{{component="{job.kind}",jobid="{label}'
        pieces = [""] * (_STATS + 1)
        start = f"lustre_job_stats_total{labels}"
        middles = self._middles
        lines: list[str] = []
        is_ost = job.kind == "ost"
        for row in job.rows:
            name = row[0]
            middle = middles.get(name)
            if middle is None:
                middle = self._middle(name, job.target)
            if is_ost:
                if name in _SIZES:
                    self._sizes(pieces, _SIZES[name], labels + middle, row[2:6])
                    continue
                if name not in _OST_OPERATIONS:
                    continue
            lines.append(f"{start}{middle}{row[2]}\n")
        pieces[_STATS] = "".join(lines)
        return pieces

    def _middle(self, name: str, target: str) -> str:
        middle = f'",operation="{escaped(name)}",target="{target}"}} '
        if len(self._middles) < 4096:
            self._middles[name] = middle
        return middle

    @staticmethod
    def _sizes(
        pieces: list[str],
        first: int,
        labels: str,
        cells: tuple[int, int | None, int | None, int | None],
    ) -> None:
        for index, cell in enumerate(cells, first):
            if cell is not None:
                pieces[index] += f"{JOB_FAMILIES[index].name}{labels}{cell}\n"
