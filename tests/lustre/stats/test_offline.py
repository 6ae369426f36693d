"""The tool for recorded outputs: flags, exit codes, what goes where."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from emf_plugins_lustre.stats.offline import main
from tests.lustre.stats.samples import RECORDED

OSS = str(RECORDED / "oss.txt")
JOBS = str(RECORDED / "jobs.txt")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.txt"
    path.write_text("memused=1\nfoo.bar=2\nmemused_max=3\n")
    return str(path)


def test_metrics_go_to_stdout_and_end_with_a_mark(capfd: Capture) -> None:
    assert main(["--lctl", OSS, "--jobstats", JOBS]) == 0

    out, _ = capfd.readouterr()
    assert out.startswith("# HELP lustre_job_read_samples_total ")
    assert "lustre_mem_used{} 1048576\n" in out
    assert out.endswith("# EOF\n")


def test_what_is_lost_is_named_with_its_line_and_is_no_failure(capfd: Capture, bad: str) -> None:
    assert main(["--lctl", bad]) == 0

    out, err = capfd.readouterr()
    assert "lustre_mem_used_max{} 3" in out
    assert err == f"{bad}:2: unknown: unknown parameter: 'foo.bar'\n"


def test_strict_makes_a_loss_a_failure(capfd: Capture, bad: str) -> None:
    assert main(["--lctl", bad, "--strict"]) == 1
    assert main(["--jobstats", JOBS, "--strict"]) == 0
    capfd.readouterr()


def test_native_mode_leaves_out_zeros_unless_told(capfd: Capture) -> None:
    main(["--jobstats", JOBS, "--mode", "native"])
    few = capfd.readouterr().out
    main(["--jobstats", JOBS, "--mode", "native", "--all-rows"])
    all_rows = capfd.readouterr().out
    main(["--jobstats", JOBS, "--skip-zero"])
    compat = capfd.readouterr().out

    assert 'operation="crossdir_rename"' not in few
    assert 'operation="crossdir_rename"' in all_rows
    assert 'operation="crossdir_rename"' not in compat


def test_records_are_json_lines_with_target_kind_value_and_unit(capfd: Capture) -> None:
    assert main(["--lctl", OSS, "--jobstats", JOBS, "--records"]) == 0

    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert records[0] == {
        "kind": "host",
        "target": None,
        "param": "memused",
        "type": "scalar",
        "value": 1048576,
        "units": "bytes",
        "labels": {},
        "header": None,
    }
    jobs = [record for record in records if record["param"] == "job_stats"]
    assert [job["value"]["job_id"] for job in jobs] == ["12345:1000:node0007", "dd.0", 'my app"']
    assert len(jobs[0]["value"]["operations"]) == 6


def test_jobs_in_the_midst_of_other_parameters_are_read(capfd: Capture, tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    path.write_bytes(b"memused=1\n" + Path(JOBS).read_bytes() + b"memused_max=2\n")

    assert main(["--lctl", str(path), "--strict"]) == 0

    out = capfd.readouterr().out
    assert 'lustre_job_stats_total{component="ost",jobid="dd.0",operation="getattr"' in out
    assert "lustre_mem_used_max{} 2" in out


def test_jobs_can_be_chosen(capfd: Capture) -> None:
    main(["--jobstats", JOBS, "--job-include", "^dd", "--records"])

    (line,) = capfd.readouterr().out.splitlines()
    assert json.loads(line)["value"]["job_id"] == "dd.0"


class BinaryInput(io.TextIOWrapper):
    """Stands in for standard input."""


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    monkeypatch.setattr("sys.stdin", BinaryInput(io.BytesIO(b"memused=5\n")))

    assert main(["--lctl", "-"]) == 0
    assert "lustre_mem_used{} 5\n" in capfd.readouterr().out


def test_compressed_input_is_recognised_and_damage_is_an_error(
    capfd: Capture, tmp_path: Path
) -> None:
    packed = gzip.compress(Path(JOBS).read_bytes())
    whole, cut = tmp_path / "whole.gz", tmp_path / "cut.gz"
    whole.write_bytes(packed)
    cut.write_bytes(packed[:-20])

    assert main(["--jobstats", str(whole), "--strict"]) == 0
    assert main(["--jobstats", str(cut)]) == 2
    assert "damaged" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give at least one recorded output"),
        (["--lctl", "-", "--jobstats", "-"], "once only"),
        (["--lctl", OSS, "--mode", "fancy"], "invalid choice"),
        (["--lctl", OSS, "--job-include", "("], "no regular expression"),
        (["--lctl", OSS, "--top", "0"], "no whole number above zero"),
        (["--lctl", OSS, "--rank", "luck"], "invalid choice"),
    ],
    ids=["nothing", "stdin twice", "mode", "pattern", "top", "rank"],
)
def test_wrong_usage_is_told(capfd: Capture, arguments: list[str], says: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    assert exit_.value.code == 2
    assert says in capfd.readouterr().err


def test_a_file_that_is_not_there_is_told(capfd: Capture, tmp_path: Path) -> None:
    assert main(["--lctl", str(tmp_path / "none")]) == 2
    assert "No such file" in capfd.readouterr().err
