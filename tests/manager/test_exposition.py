"""Prometheus' text: one HELP and TYPE a metric, labels that nothing can break, bounded names."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.exposition import Family, at_most, exposed
from tests.manager.unhurried import unhurried

LINE = re.compile(r'm\{l="(?:[^"\\\n]|\\["\\n])*"\} -?[0-9.e+-]+')


def test_a_metric_is_its_help_its_type_and_its_samples() -> None:
    family = Family("emf_nodes", "gauge", "Nodes.", ("role", "state"), ((("oss", "up"), 2),))

    assert exposed([family, Family.one("emf_total", "counter", "All.", 0.5)]) == (
        "# HELP emf_nodes Nodes.\n# TYPE emf_nodes gauge\n"
        'emf_nodes{role="oss",state="up"} 2\n'
        "# HELP emf_total All.\n# TYPE emf_total counter\nemf_total 0.5\n"
    )


@unhurried
@given(text=st.text())
def test_no_label_breaks_its_line(text: str) -> None:
    *_, line, end = exposed([Family("m", "gauge", "M.", ("l",), (((text,), 1.0),))]).split("\n")

    assert end == ""
    assert LINE.fullmatch(line)


@pytest.mark.parametrize(
    ("value", "shown"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (1e18, None)]
)
def test_numbers_that_are_none_have_prometheus_words(value: float, shown: str | None) -> None:
    last = exposed([Family.one("m", "gauge", "M.", value)]).split()[-1]

    assert last == (shown or "1000000000000000000")


def test_more_names_than_there_may_be_become_one() -> None:
    counted: dict[tuple[str, ...], float] = {(f"daemon{n}", "active"): float(n) for n in range(10)}

    samples = dict(at_most(counted, 3))

    assert samples == {
        ("daemon9", "active"): 9,
        ("daemon8", "active"): 8,
        ("daemon7", "active"): 7,
        ("other", "active"): 21,
    }
