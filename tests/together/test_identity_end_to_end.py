"""A node's identity from token to removal, with the real programs over real TLS (R10 to R13)."""

from __future__ import annotations

import json
import signal
import sqlite3
import ssl
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from emf_agent.identity_files import IdentityFiles, new_key_request
from emf_agent.tls import certificate_facts
from emf_agent.wire import EnrolmentToken
from emf_manager.identity.authority import GRACE_S, open_authority, private_pem
from tests.together.programs import (
    Manager,
    Node,
    Operator,
    a_manager,
    a_node,
    eventually,
    ok,
    run,
)
from tests.together.troubles import install

pytestmark = pytest.mark.slow(reason="starts real programs")

DAY_S = 86400.0


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Generator[Manager]:
    with a_manager(tmp_path_factory.mktemp("identity")) as made:
        yield made


def files(node: Node) -> IdentityFiles:
    tls = node.folder / "etc" / "tls"
    return IdentityFiles(tls / "agent.key", tls / "agent.crt", tls / "ca.crt")


def sessions(operator: Operator, name: str) -> dict[str, str]:
    listed = operator.get("/sessions") or {"items": []}
    return {
        one["daemon"]: one["session_id"]
        for one in listed["items"]
        if one["node"] == name and one["state"] == "active"
    }


def settled(operator: Operator, name: str) -> dict[str, str]:
    def both() -> dict[str, str] | None:
        found = sessions(operator, name)
        return found if {"agent", "action_runner"} <= set(found) else None

    return eventually(both, f"the sessions of {name}")


def aged(manager: Manager, node: Node, *, due_in_s: float) -> float:
    """Give a node a certificate whose two thirds are over in a moment; return when it ends."""
    authority = open_authority(manager.data / "authority", now=time.time())
    key = ec.generate_private_key(ec.SECP256R1())
    then = time.time() + GRACE_S - 60 * DAY_S + due_in_s
    made = authority.issue_node(node.name, key.public_key(), now=then)
    files(node).save(key=private_pem(key).decode(), certificate=made.pem, authority=authority.pem)
    return made.not_after


def test_a_certificate_is_renewed_without_a_restart_or_a_lost_session(
    manager: Manager, tmp_path: Path
) -> None:
    node = Node(tmp_path, "renews.example")
    assert node.enrol(manager, manager.enrolment_token()).returncode == 0
    ends = aged(manager, node, due_in_s=15)
    node.start()
    try:
        operator = manager.operator(node.folder)
        before = settled(operator, node.name)
        process = node.process

        def renewed() -> bool:
            return certificate_facts(files(node).certificate).not_after > ends

        eventually(renewed, "the renewal")
        contact = operator.get(f"/nodes/{node.name}")["last_contact"]
        eventually(
            lambda: operator.get(f"/nodes/{node.name}")["last_contact"] > contact,
            "contact over the new connection",
        )
        after = sessions(operator, node.name)
        assert {name: after.get(name) for name in before} == before
        assert node.process is process
        assert "certificate renewed" in node.logged()
        assert f"certificate renewed fqdn={node.name}" in manager.logged()
    finally:
        node.stop(signal.SIGKILL)


def test_a_revoked_node_is_out_and_comes_back_by_enrolling_again(
    manager: Manager, tmp_path: Path
) -> None:
    name = "revoked.example"
    with a_node(tmp_path, name, manager) as node:
        operator = manager.operator(node.folder)
        settled(operator, name)

        revoked = operator.emf("node", "revoke", name, "--reason", "stolen")

        assert revoked.returncode == 0, revoked.stderr
        eventually(lambda: "revoked" in node.logged(), "the reason in the agent's log")
        node.stop(signal.SIGTERM)
        again = node.agent(
            *("enroll", "--manager", manager.url, "--token-file", "-", "--force"),
            *("--fqdn", name),
            stdin=manager.enrolment_token(),
        )
        assert again.returncode == 0, again.stderr
        node.start()
        settled(operator, name)


def test_a_removed_name_starts_with_nothing(manager: Manager, tmp_path: Path) -> None:
    name = "removed.example"
    with a_node(tmp_path, name, manager) as node:
        operator = manager.operator(node.folder)
        settled(operator, name)
        eventually(lambda: operator.get(f"/data/{name}/agent"), "a value")

        removed = operator.emf("node", "remove", name, "--yes")

        assert removed.returncode == 0, removed.stderr
        assert operator.get(f"/nodes/{name}") is None
        eventually(lambda: "enrol" in node.logged(), "the reason in the agent's log")
    other = Node(tmp_path / "later", name)
    other.folder.parent.mkdir()
    assert other.enrol(manager, manager.enrolment_token()).returncode == 0
    assert operator.get(f"/nodes/{name}")["state"] == "never"
    assert sessions(operator, name) == {}
    assert operator.get(f"/data/{name}/agent") is None


def test_a_live_name_is_replaced_only_on_purpose(manager: Manager, tmp_path: Path) -> None:
    name = "replaced.example"
    assert Node(tmp_path, name).enrol(manager, manager.enrolment_token()).returncode == 0
    (tmp_path / "other").mkdir()
    other = Node(tmp_path / "other", name)

    refused = other.enrol(manager, manager.enrolment_token())
    replaced = other.enrol(manager, manager.enrolment_token("--replace"))

    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    assert replaced.returncode == 0, replaced.stderr


def test_a_node_waits_until_it_is_approved(manager: Manager, tmp_path: Path) -> None:
    node = Node(tmp_path, "waits.example")
    assert node.enrol(manager, manager.enrolment_token("--approval")).returncode == 0
    operator = manager.operator(node.folder)
    node.start()
    try:
        eventually(lambda: "waits for approval" in node.logged(), "the reason in the log")
        assert sessions(operator, node.name) == {}

        approved = operator.emf("node", "approve", node.name)

        assert approved.returncode == 0, approved.stderr
        settled(operator, node.name)
    finally:
        node.stop(signal.SIGKILL)


def test_an_expired_token_says_so(manager: Manager, tmp_path: Path) -> None:
    made = manager.admin("token", "create", "--ttl", "1s")
    token = str(made["token"])

    def over() -> bool:
        return {"expired"} == {
            one["state"] for one in manager.admin("token", "list") if one["id"] == made["id"]
        }

    eventually(over, "the end of the token's life")

    refused = Node(tmp_path, "late.example").enrol(manager, token)

    assert refused.returncode == 1
    assert "expired" in refused.stderr
    assert f"expired token {made['id']}" in manager.logged()


def test_a_token_for_another_node_says_whom_it_is_for(manager: Manager, tmp_path: Path) -> None:
    token = manager.enrolment_token("--node", "oss[1-4].example")

    refused = Node(tmp_path, "mds1.example").enrol(manager, token)

    assert refused.returncode == 1
    assert "oss[1-4].example" in refused.stderr
    assert "which mds1.example is not in" in manager.logged()


def test_a_token_that_was_used_says_so(manager: Manager, tmp_path: Path) -> None:
    token = manager.enrolment_token()
    assert Node(tmp_path, "first.example").enrol(manager, token).returncode == 0

    refused = Node(tmp_path, "second.example").enrol(manager, token)

    assert refused.returncode == 1
    assert "used up" in refused.stderr
    assert "used-up token" in manager.logged()


def test_a_token_of_another_authority_sends_nothing(manager: Manager, tmp_path: Path) -> None:
    token = EnrolmentToken.parse(manager.enrolment_token())
    other = EnrolmentToken(token.secret, "0" * 64)

    refused = Node(tmp_path, "stray.example").enrol(manager, other.text())

    assert refused.returncode == 69
    assert "not the manager that issued the token" in refused.stderr
    assert "stray.example" not in manager.logged()


def test_of_fifty_at_once_one_wins_a_token(tmp_path: Path) -> None:
    # The losers make their address wait, so this manager is theirs alone.
    with a_manager(tmp_path) as manager:
        statuses = race(manager, tmp_path)

    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 403, 429}


def race(manager: Manager, tmp_path: Path) -> list[int]:
    text = manager.enrolment_token()
    token = EnrolmentToken.parse(text)
    authority = tmp_path / "ca.pem"
    authority.write_text(ok("emf-manager", "ca", "show", "--pem", "--data-dir", str(manager.data)))
    context = ssl.create_default_context(cafile=str(authority))
    asked = [
        {
            "token": token.secret,
            "fqdn": f"race{number}.example",
            "csr": new_key_request("x").csr,
            "agent_version": "0",
        }
        for number in range(50)
    ]

    def enrol(body: dict[str, str]) -> int:
        with httpx.Client(verify=context, trust_env=False, timeout=60) as client:
            return client.post(f"{manager.url}/enrol/", json=body).status_code

    with ThreadPoolExecutor(50) as threads:
        return list(threads.map(enrol, asked))


def test_no_secret_is_in_the_database_a_log_or_a_command_line(
    manager: Manager, tmp_path: Path
) -> None:
    token = manager.enrolment_token()
    with a_manager(tmp_path) as other:
        own = other.enrolment_token()
        with a_node(tmp_path, "canary.example", other) as node:
            operator = other.operator(node.folder)
            settled(operator, node.name)
            secrets = [operator.token, EnrolmentToken.parse(own).secret]
            lines = b"".join(
                path.read_bytes()
                for path in Path("/proc").glob("[0-9]*/cmdline")
                if path.parent.exists()
            )
            seen = other.logged() + node.logged()
        other.stop(signal.SIGTERM)
        with closing(sqlite3.connect(other.data / "manager.db")) as database:
            seen += "\n".join(database.iterdump())
        audit = run("emf-manager", "audit", "verify", "--data-dir", str(other.data))
    assert audit.returncode == 0, audit.stderr
    assert EnrolmentToken.parse(token).secret not in seen
    for secret in secrets:
        assert secret not in seen
        assert secret.encode() not in lines
    key = open_authority(other.data / "authority", now=time.time()).key
    assert private_pem(key).decode() not in seen


def test_the_agents_own_trail_names_who_asked(manager: Manager, tmp_path: Path) -> None:
    with a_node(tmp_path, "trail.example", manager, install(tmp_path / "site")) as node:
        operator = manager.operator(node.folder)
        settled(operator, node.name)
        eventually(lambda: operator.get("/actions/slow"), "the catalogue")
        args = json.dumps([str(tmp_path / "effect"), 0.01])

        done: Any = operator.emf("run", node.name, "slow", args)

        assert done.returncode == 0, done.stderr
        trail = next(node.folder.rglob("actions.jsonl"))
        lines = [json.loads(line) for line in trail.read_text().splitlines()]
        assert [line["what"] for line in lines] == ["accepted", "started", "ended"]
        assert (lines[0]["requester"], lines[0]["action"]) == ("ann", "slow")
        assert lines[2]["outcome"] == "ok"


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def with_clock(node: Node, offset: str) -> Node:
    """Have this node's programs see another time; nobody's clock is set."""
    seen = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "0",
    }
    node.more.update(seen)
    node.environment.update(seen)
    return node


@pytest.mark.skipif(FAKETIME is None, reason="Debian's package faketime is not installed")
@pytest.mark.parametrize(
    ("offset", "told"), [("+1d", "ahead of"), ("-1d", "behind")], ids=["ahead", "behind"]
)
def test_a_node_whose_clock_is_off_by_a_day_enrols_renews_and_says_so(
    manager: Manager, tmp_path: Path, offset: str, told: str
) -> None:
    node = with_clock(Node(tmp_path, f"{told[:5]}.example"), offset)
    enrolled = node.enrol(manager, manager.enrolment_token())
    assert enrolled.returncode == 0, enrolled.stderr
    ends = aged(manager, node, due_in_s=1)
    node.start()
    try:
        operator = manager.operator(node.folder)
        settled(operator, node.name)
        eventually(lambda: told in node.logged(), "the reason at the node")

        def renewed() -> bool:
            return certificate_facts(files(node).certificate).not_after > ends

        eventually(renewed, "the renewal")

        def alerted() -> list[str]:
            listed = operator.get("/alerts") or {"items": []}
            return [
                one["text"]
                for one in listed["items"]
                if (one["kind"], one["node"]) == ("clock.skew", node.name)
            ]

        (text,) = eventually(alerted, "the reason at the manager")
        assert told in text
    finally:
        node.stop(signal.SIGKILL)


@pytest.mark.skipif(FAKETIME is None, reason="Debian's package faketime is not installed")
def test_a_clock_that_no_certificate_allows_for_is_named_as_the_reason(
    manager: Manager, tmp_path: Path
) -> None:
    node = with_clock(Node(tmp_path, "lost.example"), "-1y")

    refused = node.enrol(manager, manager.enrolment_token())

    assert refused.returncode == 69
    assert "not yet valid" in refused.stderr
    assert "this node's clock" in refused.stderr


CANARY = "hunter2-canary"


def ordered(operator: Operator, node: Node, action: str, args: Any) -> str:
    """Order an action over the API and return the job's id; nothing of it is in an argv."""
    context = ssl.create_default_context(cafile=str(operator.authority))
    headers = {"Authorization": f"Bearer {operator.token}"}
    body = {"nodes": node.name, "action": action, "args": args}
    with httpx.Client(verify=context, trust_env=False, headers=headers, timeout=60) as client:
        answer = client.post(f"{operator.manager.url}/api/v1/jobs", json=body).raise_for_status()
    assert CANARY not in answer.text
    return str(answer.json()["id"])


def test_a_secret_argument_reaches_its_action_and_rests_nowhere(
    manager: Manager, tmp_path: Path
) -> None:
    plugins = install(tmp_path / "site")
    with a_node(tmp_path, "secret.example", manager, plugins) as node:
        operator = manager.operator(node.folder)
        settled(operator, node.name)
        eventually(lambda: operator.get("/actions/unlock"), "the catalogue")
        node.stop(signal.SIGHUP)
        assert "SIGHUP: the agent ends" in node.logged()

        job = ordered(operator, node, "unlock", {"password": CANARY})

        backup = manager.data / "copy"
        ok("emf-manager", "backup", str(backup), "--data-dir", str(manager.data))
        waiting = kept(manager.data)
        node.start()
        done = eventually(
            lambda: (found := operator.get(f"/jobs/{job}"))["state"] == "done" and found, "its end"
        )
        assert done["targets"][0]["result"] == {"Ok": True}
        assert done["args"] == {"password": "***"}
        lines = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
        trail = operator.get("/audit?limit=500")
        backup.unlink()
        seen = [waiting, kept(manager.data), kept(node.folder), lines, json.dumps(trail).encode()]
        seen += [manager.logged().encode(), node.logged().encode()]
    assert not any(CANARY.encode() in text for text in seen)
    assert b"unlock" in waiting


def kept(folder: Path) -> bytes:
    """Return everything a program keeps in its folder: databases, journals, trails, keys."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
