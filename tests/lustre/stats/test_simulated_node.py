"""The statistics of the simulated node: every role is read without a loss and meets its role."""

from __future__ import annotations

from pathlib import Path

import pytest

from emf_plugins_lustre.stats.collect import Wanted, collect
from emf_plugins_lustre.stats.expectations import unmet_expectations
from emf_plugins_lustre.stats.records import Record
from emf_plugins_lustre.stats.settings import Role
from emf_plugins_lustre.testing.node import SimulatedNode
from emf_plugins_lustre.testing.scenario import Scenario

pytestmark = pytest.mark.anyio


def operations(records: list[Record]) -> int:
    values = [record.value for record in records if record.param in {"stats", "md_stats"}]
    return sum(row.samples for value in values for row in getattr(value, "rows", ()))


@pytest.mark.parametrize("role", ["mgs", "mds", "oss", "client"])
async def test_a_node_of_a_role_shows_what_the_role_must(role: Role, tmp_path: Path) -> None:
    with SimulatedNode.create(tmp_path / role, Scenario.of_role(role)).entered():
        reading = await collect(Wanted(lnet_peers=True))

    assert reading.cost.failures == {}
    assert [str(loss) for loss in reading.losses.shown] == []
    assert list(unmet_expectations(reading.records, [role], "")) == []


async def test_counters_move_with_the_node_s_clock(tmp_path: Path) -> None:
    node = SimulatedNode.create(tmp_path / "oss", Scenario.of_role("oss"))
    with node.entered():
        before = await collect(Wanted(lnet=False))
        node.advance(3600)
        after = await collect(Wanted(lnet=False))

    assert operations(after.records) > operations(before.records)
