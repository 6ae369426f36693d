"""What a node is, from what it says: real shapes, and anything instead of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.facts import SOURCES, facts_of_node, facts_of_value
from emf_manager.records import Node

HOST = {
    "hostname": "oss1",
    "os": {"id": "rhel", "version": "8.10", "name": "Red Hat Enterprise Linux 8.10"},
    "kernel": {"release": "4.18.0-553.el8_lustre", "version": "#1 SMP", "machine": "x86_64"},
    "cpu": {"model": "EPYC", "sockets": 2, "cores": 64, "threads": 128},
    "memory_bytes": {"total": 274877906944, "available": 200000000000, "swap_total": 0},
    "hardware": {"vendor": None},
}
STATS = [
    {"Host": {"Memused": {"param": "memused", "value": 1}}},
    {"Target": {"Stats": {"kind": "OST", "target": "fs1-OST0001", "value": []}}},
    {"Target": {"FilesFree": {"kind": "OST", "target": "fs1-OST0000", "value": 3}}},
    {"Target": {"FilesFree": {"kind": "MDT", "target": "big-fs-MDT0000", "value": 3}}},
    {"Target": {"Oss": {"param": "ost", "stats": []}}},
]
MEMBER = {"online": True, "standby": False, "maintenance": True, "is_dc": False, "type": "Member"}
COROSYNC = [
    "2",
    {
        "nodes": [
            {**MEMBER, "name": "oss1.local", "id": "1", "maintenance": False},
            {**MEMBER, "name": "oss2.local", "id": "2"},
            {**MEMBER, "name": "quorum", "id": "3", "type": "Remote"},
        ]
    },
]
NETWORK = {
    "network_interfaces": [
        {"interface": "eth0", "is_up": True},
        {"interface": "ib0", "is_up": False},
    ],
    "lnet_data": {
        "net": [
            {"net type": "lo", "local NI(s)": [{"nid": "0@lo"}]},
            {"net type": "o2ib", "local NI(s)": [{"nid": "10.0.0.3@o2ib"}]},
        ]
    },
}
AGENT = {
    "plugins": [
        {"name": "host", "state": "loaded"},
        {"name": "stats", "state": "refused", "reason": "not in the list"},
    ]
}


@pytest.mark.parametrize(
    ("daemon", "body", "facts"),
    [
        pytest.param(
            "host",
            HOST,
            {
                "hostname": "oss1",
                "os.name": "rhel",
                "os.version": "8.10",
                "os.title": "Red Hat Enterprise Linux 8.10",
                "kernel": "4.18.0-553.el8_lustre",
                "machine": "x86_64",
                "cpu.model": "EPYC",
                "cpu.sockets": 2,
                "cpu.cores": 64,
                "cpu.threads": 128,
                "memory.total": 274877906944,
                "memory.available": 200000000000,
                "swap.total": 0,
            },
            id="host",
        ),
        pytest.param(
            "stats",
            STATS,
            {
                "lustre.target": ("big-fs-MDT0000", "fs1-OST0000", "fs1-OST0001"),
                "lustre.filesystem": ("big-fs", "fs1"),
                "lustre.role": ("mds", "oss"),
            },
            id="lustre",
        ),
        pytest.param(
            "corosync",
            COROSYNC,
            {
                "ha.member": ("oss1.local", "oss2.local"),
                "ha.online": True,
                "ha.standby": False,
                "ha.maintenance": True,
                "ha.is_dc": False,
            },
            id="cluster",
        ),
        pytest.param(
            "network",
            NETWORK,
            {"network.up": ("eth0",), "lnet.net": ("o2ib",), "lnet.nid": ("10.0.0.3@o2ib",)},
            id="network",
        ),
        pytest.param(
            "agent", AGENT, {"plugin": ("host",), "plugin.not_loaded": ("stats",)}, id="agent"
        ),
        pytest.param("journal", ["anything"], {}, id="a daemon that says nothing of the node"),
        pytest.param("corosync", None, {}, id="no cluster stack"),
    ],
)
def test_a_value_has_these_facts(daemon: str, body: Any, facts: dict[str, Any]) -> None:
    assert facts_of_value(daemon, body) == facts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("os", "id", "nodes", "plugins", "Target", "target", "kind", "name", "type"),
                    *("lnet_data", "net", "local NI(s)", "nid", "network_interfaces", "is_up"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(daemon=st.sampled_from(sorted(SOURCES)), body=JSON)
def test_a_value_of_any_shape_has_facts_that_are_flat(daemon: str, body: Any) -> None:
    for fact in facts_of_value(daemon, body).values():
        elements = fact if isinstance(fact, tuple) else (fact,)
        assert elements
        assert all(isinstance(one, str | int | float) for one in elements)


@pytest.mark.parametrize("huge", [10**400, -(10**400), 1e300])
def test_a_number_beyond_any_measure_is_no_fact(huge: float) -> None:
    assert facts_of_value("host", {"memory_bytes": {"total": huge, "available": 7}}) == {
        "memory.available": 7
    }


def test_what_the_manager_knows_wins_over_what_a_node_says() -> None:
    node = Node("oss1.local", "online", role="oss", labels={"rack": "r1"}, agent_version="0.1")

    facts = facts_of_node(node, [{"role": "mgs", "fqdn": "other", "os.name": "rhel"}])

    assert facts == {
        "fqdn": "oss1.local",
        "name": "oss1",
        "role": "oss",
        "state": "connected",
        "agent.version": "0.1",
        "label.rack": "r1",
        "os.name": "rhel",
    }


@pytest.mark.parametrize(
    ("node", "state"),
    [
        (Node("a"), "never"),
        (Node("a", "silent"), "silent"),
        (Node("a", "online"), "connected"),
        (Node("a", "new", waiting=True), "waiting"),
    ],
)
def test_a_node_has_a_state(node: Node, state: str) -> None:
    assert facts_of_node(node, ())["state"] == state
