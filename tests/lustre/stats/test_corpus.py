"""Recorded outputs of other sites, held against what the field's tools made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emf_plugins_lustre.stats.exposition_jobs import compat_jobs
from emf_plugins_lustre.stats.exposition_text import END
from emf_plugins_lustre.stats.job_reader import iter_jobs
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.offline import main
from emf_plugins_lustre.stats.records import Job, Record
from emf_plugins_lustre.stats.tagged_json import tagged_json
from tests.lustre.stats.reference_json import records_from_json
from tests.lustre.stats.samples import compat_text, corpus_folder, lnet_of, records_of

CORPUS = corpus_folder()
pytestmark = pytest.mark.skipif(CORPUS is None, reason="the corpus is not on this machine")


def files(pattern: str) -> list[Path]:
    return sorted(CORPUS.glob(pattern)) if CORPUS is not None else []


def ids(path: Path) -> str:
    return path.stem


def expected(folder: str, path: Path, suffix: str) -> Path:
    assert CORPUS is not None
    found = CORPUS / "expected" / folder / f"{path.stem}{suffix}"
    if not found.exists():
        pytest.skip("the reference could not read this one")
    return found


def read(path: Path, losses: Losses | None = None) -> list[Record]:
    read_it = lnet_of if path.suffix == ".yaml" else records_of
    return read_it(path.read_bytes(), losses)


OUTPUTS = [*files("lctl/*.txt"), *files("lnetctl/*.yaml")]


@pytest.mark.parametrize("path", OUTPUTS, ids=ids)
def test_the_exposition_equals_the_reference_s(path: Path) -> None:
    reference = expected("prom", path, ".prom").read_text()

    ours = compat_text(read(path))

    assert set(ours.splitlines()) == set(reference.splitlines())
    assert len(ours) == len(reference)


@pytest.mark.parametrize("path", OUTPUTS, ids=ids)
def test_the_records_carry_every_value_of_the_reference(path: Path) -> None:
    reference = json.loads(expected("records-json", path, ".json").read_text())

    ours = list(tagged_json(read(path)))

    if path.stem == "unhealthy_two_lines":
        # Two records of one key there; one verdict with its devices here.
        verdicts = [item for item in reference if "HealthCheck" in item.get("Host", {})]
        reference.remove(verdicts[0])
        assert verdicts[1] in ours
    assert ours == reference


@pytest.mark.parametrize("path", OUTPUTS, ids=ids)
def test_nothing_of_a_good_output_is_lost(path: Path) -> None:
    losses = Losses(path.name)

    read(path, losses)

    assert [str(loss) for loss in losses.shown] == []


def as_expected(job: Job) -> dict[str, Any]:
    cells = ("min", "max", "sum", "sumsq")
    return {
        "kind": job.kind.capitalize(),
        "target": job.target,
        "job_id": job.job_id,
        "job_id_raw": job.job_id_raw,
        "snapshot_time": job.snapshot_time,
        "start_time": job.start_time,
        "elapsed_time": job.elapsed_time,
        "ops": {
            row.name: {
                "samples": row.samples,
                "unit": row.units,
                **{c: getattr(row, c) for c in cells if getattr(row, c) is not None},
                **(
                    {"hist": (job.histograms or {}).get(row.name, {})}
                    if row.units == "bytes"
                    else {}
                ),
            }
            for row in job.rows
        },
    }


def without_empty_histograms(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for job in jobs:
        for operation in job["ops"].values():
            if not operation.get("hist"):
                operation.pop("hist", None)
    return jobs


JOB_FILES = [*files("jobstats/*.txt"), *files("malformed/job_*.txt")]


@pytest.mark.parametrize("path", JOB_FILES, ids=ids)
@pytest.mark.parametrize("chunk", [7, 1 << 20], ids=["torn", "whole"])
def test_the_jobs_that_must_survive_do(path: Path, chunk: int) -> None:
    assert CORPUS is not None
    if path.parent.name == "malformed":
        wanted = json.loads(path.with_suffix(".expect.json").read_text())["jobs"]
    else:
        wanted = json.loads((CORPUS / "expected/jobstats-json" / f"{path.stem}.json").read_text())
    data = path.read_bytes()
    pieces = [data[at : at + chunk] for at in range(0, len(data), chunk)]

    jobs = [as_expected(job) for job in iter_jobs(pieces, Losses())]

    assert without_empty_histograms(jobs) == without_empty_histograms(wanted)


@pytest.mark.parametrize("path", files("jobstats/*.txt"), ids=ids)
def test_the_exposition_of_jobs_equals_the_reference_s(path: Path) -> None:
    reference = expected("prom", path, ".prom").read_text()

    with compat_jobs() as jobs:
        jobs.add(iter_jobs([path.read_bytes()], Losses()))
        ours = b"".join(jobs.text()).decode() + END

    assert ours == reference


@pytest.mark.parametrize("path", files("malformed/lctl_*.txt"), ids=ids)
def test_what_must_survive_malformed_input_does(path: Path) -> None:
    survivors = json.loads(path.with_suffix(".expect.json").read_text())["survivors"]

    ours = list(tagged_json(read(path)))

    assert [item for item in survivors if item not in ours] == []


@pytest.mark.parametrize("path", files("records/*.json"), ids=ids)
def test_the_reference_s_own_records_give_its_exposition(path: Path) -> None:
    assert CORPUS is not None
    reference = (CORPUS / "expected/prom" / f"records_{path.stem}.prom").read_text()

    ours = compat_text(records_from_json(json.loads(path.read_text())))

    assert set(ours.splitlines()) == set(reference.splitlines())


@pytest.mark.parametrize("folder", files("scrape/*"), ids=ids)
def test_a_whole_scrape_is_the_reference_s_byte_for_byte(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    flags = {
        "lctl": "lctl_get_param.txt",
        "jobstats": "job_stats.txt",
        "lnet-net": "lnetctl_net_show.yaml",
        "lnet-stats": "lnetctl_stats_show.yaml",
        "lnet-global": "lnetctl_global_show.yaml",
    }
    arguments = [
        part
        for flag, name in flags.items()
        if (folder / name).exists()
        for part in (f"--{flag}", str(folder / name))
    ]

    code = main([*arguments, "--strict"])

    out, err = capfdbinary.readouterr()
    assert out == (folder / "expected.prom").read_bytes()
    assert (code, err) == (0, b"")
