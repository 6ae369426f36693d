"""The authority is replaced while real programs work over real TLS, and nobody is left behind."""

from __future__ import annotations

import shutil
import signal
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from emf_agent.tls import client_context
from emf_agent.wire import MESSAGE_PATH
from emf_manager.identity.authority import open_authority
from emf_manager.server.certificate import open_server_certificate
from tests.https_server import serving
from tests.together.programs import Manager, Node, Operator, a_manager, a_node, eventually, ok, run

pytestmark = pytest.mark.slow(reason="starts real programs")

QUERY = {"client_start_time": "i", "server_boot_time": "b"}


def rotate(manager: Manager, *arguments: str) -> str:
    done = run("emf-manager", "ca", "rotate", *arguments, "--data-dir", str(manager.data))
    return str(done.stdout) if done.returncode == 0 else f"refused: {done.stderr}"


def authorities(manager: Manager) -> dict[str, Any]:
    return {one["state"]: one for one in manager.admin("ca", "show")["authorities"]}


def sessions(operator: Operator, name: str) -> dict[str, str]:
    listed = operator.get("/sessions") or {"items": []}
    return {
        one["daemon"]: one["session_id"]
        for one in listed["items"]
        if one["node"] == name and one["state"] == "active"
    }


def told(operator: Operator, *nodes: Node) -> None:
    """Have what hangs be answered: a rotation is announced with the next answer."""
    operator.emf("ping", ",".join(node.name for node in nodes), "--timeout", "5s")


def standing(operator: Operator, node: Node) -> tuple[set[str], str | None]:
    """Return whom a node says it trusts, and who issued its certificate."""
    said = operator.get(f"/data/{node.name}/agent")["value"]["certificate"]
    return set(said["authorities"]), said["issuer"]


def test_two_nodes_one_of_them_away_for_a_while_keep_their_sessions(tmp_path: Path) -> None:
    with (
        a_manager(tmp_path) as manager,
        a_node(tmp_path, "stays.example", manager) as stays,
        a_node(tmp_path, "away.example", manager) as away,
    ):
        names = [stays.name, away.name]
        everybody = tmp_path / "everybody"
        (everybody / "etc" / "tls").mkdir(parents=True)
        bundle = everybody / "etc" / "tls" / "ca.crt"
        shutil.copy(stays.folder / "etc" / "tls" / "ca.crt", bundle)
        operator = manager.operator(everybody)
        eventually(
            lambda: all({"agent", "action_runner"} <= set(sessions(operator, n)) for n in names),
            "sessions",
        )
        before, process = sessions(operator, stays.name), stays.process
        old = shutil.copytree(away.folder / "etc" / "tls", tmp_path / "old identity")
        old_authority = shutil.copytree(manager.data / "authority", tmp_path / "old authority")

        # Begin while one is away: it would be lost, so there is no switch.
        away.stop(signal.SIGTERM)
        assert "announced" in rotate(manager, "begin")
        old_sha = authorities(manager)["issuing"]["sha256"]
        new_sha = authorities(manager)["next"]["sha256"]
        told(operator, stays)
        eventually(lambda: new_sha in standing(operator, stays)[0], "the news at one node")
        refused = rotate(manager, "switch")
        assert away.name in refused
        assert stays.name not in refused
        assert "--force" in refused

        # Back in time.
        away.start()
        eventually(lambda: new_sha in standing(operator, away)[0], "the news at both")
        assert authorities(manager)["next"]["trusted_by"] == 2
        bundle.write_text(ok("emf-manager", "ca", "show", "--pem", "--data-dir", str(manager.data)))
        assert bundle.read_text().count("BEGIN CERTIFICATE") == 2
        token, shown = manager.enrolment_token(), shown_by(manager)
        assert "is a token made before" in rotate(manager, "switch")
        for made in manager.admin("token", "list"):
            if made["state"] == "good":
                ok("emf-manager", "token", "revoke", made["id"], "--data-dir", str(manager.data))
        away.stop(signal.SIGKILL)
        assert "switched" in rotate(manager, "switch")
        eventually(lambda: shown_by(manager) != shown, "a server's certificate by the new one")
        late = Node(tmp_path, "late.example").enrol(manager, token)
        assert late.returncode == 69
        assert "rotated since" in late.stderr
        told(operator, stays)
        eventually(lambda: standing(operator, stays)[1] == new_sha, "a new certificate at one")
        assert away.name in rotate(manager, "finish")

        # Away over the switch, and not lost.
        away.start()
        eventually(lambda: standing(operator, away)[1] == new_sha, "new certificates at both")
        assert authorities(manager)["previous"]["used_by"] == 0
        assert "settled" in rotate(manager, "finish")
        told(operator, stays, away)
        for node in (stays, away):
            eventually(lambda: standing(operator, node) == ({new_sha}, new_sha), "one authority")  # noqa: B023
            assert old_sha not in standing(operator, node)[0]
        after = sessions(operator, stays.name)
        assert {name: after.get(name) for name in before} == before
        assert stays.process is process

        # What the old one issued is refused, by both.
        new_bundle = stays.folder / "etc" / "tls" / "ca.crt"
        stale = client_context(new_bundle, old / "agent.crt", old / "agent.key")
        with (
            httpx.Client(verify=stale, trust_env=False, timeout=30) as client,
            pytest.raises((httpx.TransportError, ssl.SSLError)),
        ):
            client.get(manager.url + MESSAGE_PATH, params=QUERY)
        eventually(lambda: "not of this manager's authority" in manager.logged(), "the reason")
        impostor = open_server_certificate(
            tmp_path / "impostor",
            open_authority(old_authority, now=time.time()),
            ["127.0.0.1"],
            now=time.time(),
        )
        key, certificate, above = (f"{part}{END}" for part in pems(impostor.path))
        leaf = trustme.LeafCert(key.encode(), certificate.encode(), [above.encode()])
        signer = trustme.CA.from_pem(above.encode(), (old_authority / "ca.key").read_bytes())
        current = stays.folder / "etc" / "tls"
        own = client_context(new_bundle, current / "agent.crt", current / "agent.key")
        with serving(leaf, signer) as server:
            with (
                httpx.Client(verify=own, trust_env=False, timeout=30) as client,
                pytest.raises(httpx.TransportError, match="verify failed"),
            ):
                client.get(server.url + MESSAGE_PATH)
            assert server.seen == []
        trail = [
            line["what"] for line in (operator.get("/audit?limit=500") or {"items": []})["items"]
        ]
        assert {"ca rotate begin", "ca rotate switch", "ca rotate finish"} <= set(trail)


END = "-----\n"


def pems(path: Path) -> list[str]:
    """Return the key, the certificate and what is above it, of one file."""
    parts = path.read_text().split("-----\n-----BEGIN ")
    return [parts[0], *(f"-----BEGIN {part.removesuffix(END)}" for part in parts[1:])]


def shown_by(manager: Manager) -> str:
    """Return the certificate a server shows; anybody may look at it."""
    host, port = manager.url.removeprefix("https://").split(":")
    return ssl.get_server_certificate((host, int(port)))
