"""The documents, board and rules that go with the metrics name metrics that exist."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from emf_plugins_lustre.stats.compat_families import COMPAT_FAMILIES, JOB_FAMILIES
from emf_plugins_lustre.stats.exposition_compat import CompatExposition
from emf_plugins_lustre.stats.exposition_jobs import compat_jobs
from emf_plugins_lustre.stats.exposition_text import Family
from emf_plugins_lustre.stats.job_reader import iter_jobs
from emf_plugins_lustre.stats.losses import Losses
from emf_plugins_lustre.stats.native_families import NATIVE_FAMILIES, NATIVE_JOB_FAMILIES
from emf_plugins_lustre.stats.own_metrics import OWN_FAMILIES
from tests.lustre.stats.samples import RECORDED, lnet_of, records_of

ROOT = Path(__file__).parents[3]
COMPAT = (*COMPAT_FAMILIES, *JOB_FAMILIES)
OURS = (*NATIVE_FAMILIES, *NATIVE_JOB_FAMILIES, *OWN_FAMILIES)
NAMES = {family.name for family in (*COMPAT, *OURS)}
METRIC = re.compile(r"\b(?:emf_lustre|lustre|recovery_status)(?:_[a-z]\w*)?\b")
NO_METRICS = {"lustre", "emf_lustre", "lustre_collector"}


@cache
def sampled() -> set[str]:
    compat = CompatExposition()
    for name in ("oss", "mds"):
        compat.add_all(records_of((RECORDED / f"{name}.txt").read_bytes()))
    for name in ("net_show", "stats_show", "global_show"):
        compat.add_all(lnet_of((RECORDED / f"{name}.yaml").read_bytes()))
    with compat_jobs() as jobs:
        jobs.add(iter_jobs([(RECORDED / "jobs.txt").read_bytes()], Losses()))
        heads = re.findall(r"# TYPE (\w+) ", b"".join(jobs.text()).decode())
    return {*compat.families.samples, *heads}


@pytest.mark.parametrize("family", COMPAT, ids=lambda family: family.name)
def test_our_samples_give_each_metric_of_the_reference(family: Family) -> None:
    assert family.name in sampled()


@pytest.mark.parametrize("family", [*COMPAT, *OURS], ids=lambda family: family.name)
def test_each_metric_stands_in_the_table(family: Family) -> None:
    text = (ROOT / "docs" / "lustre-metrics.md").read_text()

    assert f"| `{family.name}` | {family.kind} |" in text


def test_each_test_the_document_names_exists() -> None:
    text = (ROOT / "docs" / "lustre-metrics.md").read_text()
    written = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    named = set(re.findall(r"`(test_\w+)`", text))

    assert named
    assert {name for name in named if f"def {name}(" not in written} == set()


def unknown_metrics(text: str) -> set[str]:
    return set(METRIC.findall(text)) - NAMES - NO_METRICS


def test_the_rules_name_metrics_that_exist() -> None:
    for path in (ROOT / "examples" / "prometheus").glob("lustre*.rules.yml"):
        groups = yaml.safe_load(path.read_text())["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        recorded = {rule["record"] for rule in rules if "record" in rule}
        assert rules
        for rule in rules:
            assert unknown_metrics(rule["expr"]) <= recorded, rule
            assert "record" in rule or {"summary", "description"} <= set(rule["annotations"])


def test_the_boards_name_metrics_that_exist() -> None:
    for path in (ROOT / "examples" / "grafana").glob("lustre*.json"):
        board = json.loads(path.read_text())
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        assert panels
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in panels:
            for target in panel["targets"]:
                assert METRIC.search(target["expr"]), panel["title"]
                assert unknown_metrics(target["expr"]) == set(), panel["title"]
