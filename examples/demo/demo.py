"""The main job in one line: a real manager and a real agent on this machine, then gone again.

Starts `emf-manager` on loopback with a store in a temporary folder, makes a token, enrols an agent,
starts it with what is installed, and shows sessions, data and an action's result. Everything is
done through the programs and the API that anybody would use. `--once --json` does it unattended:
one JSON document on standard output, progress on standard error. `--role oss` shows a Lustre
server: the agent then finds the programs of a simulated one. `--nodes 8` adds a simulated file
system of so many nodes beside this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from lustre_fleet import deal
from lustre_node import ROLES, LustreNode, Views

T = TypeVar("T")
WANTED = ("agent", "network", "host", "action_runner")
WITHIN_S = 60.0
MOST_NODES = 60
"""More are for `python -m emf_agent.testing.fleet`, whose nodes start no programs."""
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BIN = Path(sys.executable).parent


class DemoError(Exception):
    """Something did not happen; the message says what and shows the log."""


def say(text: str) -> None:
    """Tell the person who watches."""
    print(text, file=sys.stderr, flush=True)


def interrupted(*_: object) -> None:
    """End as on Ctrl-C, once."""
    hold_on()
    raise KeyboardInterrupt


def hold_on() -> None:
    """Let no second Ctrl-C, nor the terminal's end, interrupt what cleans up."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def interrupted_later() -> Iterator[None]:
    """Put Ctrl-C off to the end of the block, when what it starts has an owner."""
    late: list[int] = []

    def note(number: int, _: object) -> None:
        late.append(number)

    usual = {number: signal.signal(number, note) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if late:
            interrupted()


def ask(program: str, *arguments: str, stdin: str | None = None) -> str:
    """Run a program of ours, or one given by its path, to its end; return what it printed."""
    with interrupted_later():
        done = subprocess.run(
            [BIN / program, *arguments], input=stdin, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise DemoError(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def service(
    program: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run one of our services until the block ends."""
    with ExitStack() as owner:
        with log.open("w") as errors, interrupted_later():
            process = subprocess.Popen(
                [BIN / program, *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
            owner.callback(end, process)
        yield process


def end(process: subprocess.Popen[str]) -> None:
    """End a service as a service manager would."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def address(manager: subprocess.Popen[str]) -> str:
    """Return the address the manager prints once it listens."""
    found: list[str] = []
    assert manager.stdout is not None

    def read() -> None:
        for line in manager.stdout or ():
            found.extend(word for word in line.split() if word.startswith("https://"))
            if found:
                break

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(WITHIN_S)
    if not found:
        raise DemoError("the manager did not start")
    return found[0].rstrip("/.,")


class Api:
    """The manager's REST API, as a script would call it."""

    def __init__(self, url: str, token: str, authority: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        self._client = httpx.Client(
            base_url=url + "/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            verify=context,
            trust_env=False,
            timeout=30,
        )

    def get(self, path: str) -> Any:
        """Return a resource, or None where there is none yet."""
        answer = self._client.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return answer.raise_for_status().json()

    def post(self, path: str, body: Any) -> Any:
        """Create something."""
        return self._client.post(path, json=body).raise_for_status().json()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def wait_for(what: str, look: Callable[[], T | None]) -> T:
    """Look until it is there; a demo has no business waiting for ever."""
    until = time.monotonic() + WITHIN_S
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise DemoError(f"{what} did not happen within {WITHIN_S:g} s")
        time.sleep(0.05)


def sessions_of(api: Api, fqdn: str, wanted: Sequence[str]) -> dict[str, str] | None:
    """Return the sessions once all that we want are active."""
    node = api.get(f"/nodes/{fqdn}") or {}
    states = {name: node.get("sessions", {}).get(name, "empty") for name in wanted}
    return states if set(states.values()) == {"active"} else None


def packaged() -> str:
    """Return a package that this system is sure to have."""
    return "dpkg" if shutil.which("dpkg-query") else "rpm"


def run_action(api: Api, fqdn: str, name: str, args: Any) -> dict[str, Any]:
    """Run an action on the node and return what came of it."""
    wait_for(f"{name} in the catalogue", lambda: api.get(f"/actions/{name}"))
    began = time.monotonic()
    job = api.post("/jobs", {"action": name, "args": args, "nodes": fqdn})

    def ended() -> Any:
        (target,) = api.get(f"/jobs/{job['id']}")["targets"]
        return target if target["state"] == "final" else None

    target = wait_for(f"the end of {name}", ended)
    return {
        "name": name,
        "args": args,
        "result": target["result"],
        "seconds": round(time.monotonic() - began, 3),
    }


def views_of(api: Api, fqdn: str) -> Views:
    """Return the node as the Lustre part of the demo sees it."""

    def data(daemon: str) -> Any:
        item = wait_for(f"data of {daemon}", lambda: api.get(f"/data/{fqdn}/{daemon}"))
        return item["value"]

    def act(name: str, args: Any) -> Any:
        result = run_action(api, fqdn, name, args)["result"]
        if "Ok" not in result:
            raise DemoError(f"{name}: {json.dumps(result)}")
        return result

    return Views(data, act, wait_for, say)


def add_nodes(api: Api, url: str, folder: Path, stack: ExitStack, nodes: int) -> Callable[[], Any]:
    """Start a simulated file system; return what waits for its nodes, and gives them by role."""
    members = deal(nodes)
    say(f"starting {nodes} simulated nodes: {members[0].name} to {members[-1].name}")
    by_role: dict[str, list[str]] = {}
    for one in members:
        by_role.setdefault(one.role, []).append(one.name)
    tokens = folder / "tokens.json"
    tokens.write_text(json.dumps({role: token_for(api, role, by_role[role]) for role in by_role}))
    stack.enter_context(
        service(
            "python",
            *(str(Path(__file__).with_name("lustre_fleet.py")), "--manager", url),
            *("--folder", str(folder / "nodes"), "--nodes", str(nodes), "--tokens", str(tokens)),
            log=folder / "nodes.log",
        )
    )

    def connected() -> dict[str, list[str]] | None:
        items = api.get("/nodes?limit=1000")["items"]
        here = {one["fqdn"] for one in items if one["state"] == "connected"}
        return by_role if {one.name for one in members} <= here else None

    return lambda: wait_for(f"the contact of {nodes} simulated nodes", connected)


def token_for(api: Api, role: str, names: Sequence[str]) -> str:
    """Return an enrolment token for the nodes of one role."""
    wanted = {"nodes": ",".join(names), "role": role, "uses": len(names)}
    return str(api.post("/enrolment-tokens", wanted)["secret"])


def demo(
    folder: Path, stack: ExitStack, role: str | None, nodes: int
) -> tuple[dict[str, Any], Path]:
    """Set everything up, and return what there was to see."""
    began = time.monotonic()
    store, node = folder / "manager", folder / "node"
    lustre = LustreNode(folder / "lustre", role) if role else None
    logs = [folder / "manager.log", folder / "agent.log"]
    say("starting the manager")
    manager = stack.enter_context(
        service(
            "emf-manager", "serve", "--data-dir", str(store), "--listen", "127.0.0.1:0", log=logs[0]
        )
    )
    url = address(manager)
    say(f"the manager listens at {url}")

    token = json.loads(ask("emf-manager", "token", "create", "--data-dir", str(store), "--json"))
    user = json.loads(
        ask(
            *("emf-manager", "user", "create", "demo", "--role", "admin"),
            *("--data-dir", str(store), "--json"),
        )
    )
    say("enrolling this machine")
    ask("emf-agent", "init", "--role", role or "all", "--state-dir", str(node))
    told = ask(
        *("emf-agent", "enroll", "--manager", url, "--token-file", "-", "--state-dir", str(node)),
        stdin=token["token"],
    )
    fqdn = told.split()[2].rstrip(";")
    enrolled = time.monotonic() - began

    tls = node / "etc" / "tls"
    environment: Mapping[str, str] = {}
    if lustre:
        environment = lustre.environment
        (node / "etc" / "conf.d" / "20-lustre.toml").write_text(lustre.configuration())
        if role == "mds":
            ask(*lustre.pool_on_mgs())
    stack.enter_context(
        service(
            *("emf-agent", "run", "--state-dir", str(node)), log=logs[1], environment=environment
        )
    )
    authority = tls / "ca.crt"
    api = Api(url, user["token"], authority)
    stack.callback(api.close)
    all_here = add_nodes(api, url, folder, stack, nodes) if nodes else None
    wait_for("the node's first contact", lambda: api.get(f"/nodes/{fqdn}"))
    say(f"{fqdn} is here")

    data: dict[str, Any] = {}
    for daemon in ("network", "host", *(["stats"] if lustre else [])):
        item = wait_for(
            f"data of {daemon}", lambda daemon=daemon: api.get(f"/data/{fqdn}/{daemon}")
        )
        data[daemon] = item["value"]
        say(f"first data of {daemon}: {json.dumps(item['value'])[:100]}…")
    first_data = time.monotonic() - began
    wanted = (*WANTED, *(["stats"] if lustre else []))
    sessions = wait_for("every session going active", lambda: sessions_of(api, fqdn, wanted))
    say("sessions: " + ", ".join(f"{name} {state}" for name, state in sessions.items()))
    action = run_action(api, fqdn, "package_installed", packaged())
    say(f"{action['name']} {action['args']}: {json.dumps(action['result'])}")

    settings = folder / "environment"
    settings.write_text(
        f"export EMF_MANAGER_URL={url}\nexport EMF_TOKEN={user['token']}\n"
        f"export EMF_CA={authority}\nexport PATH={BIN}:$PATH\n"
    )
    settings.chmod(0o600)
    shown: dict[str, Any] = {
        "manager": {"url": url},
        "node": {"fqdn": fqdn, "protocol": api.get(f"/nodes/{fqdn}")["protocol"]},
        "sessions": sessions,
        "data": data,
        "action": action,
        "seconds": {"enrolled": round(enrolled, 3), "first_data": round(first_data, 3)},
    }
    if lustre:
        shown |= {"role": role, "lustre": lustre.show(views_of(api, fqdn))}
    if all_here:
        shown["nodes"] = all_here()
        shown["seconds"]["all_nodes"] = round(time.monotonic() - began, 3)
        say(f"{nodes} simulated nodes are here")
    # The last of all: it is good for ten minutes, and once.
    shown["manager"]["login_link"] = ask(
        *("emf-manager", "user", "login-link", "demo", "--data-dir", str(store))
    ).strip()
    return shown, settings


def what_to_look_at(shown: Mapping[str, Any], environment: Path) -> None:
    """Tell the person who watches where to go on from here."""
    fqdn = shown["node"]["fqdn"]
    say("\nIn a browser, signed in once (it trusts no authority of a demo: go on all the same):")
    say(f"  {shown['manager']['login_link']}")
    say(f"\nIn another terminal:\n  . {environment}")
    say(f"  emf node list\n  emf data {fqdn} host")
    say(f"  emf run {fqdn} package_version {packaged()!r}")
    if "nodes" in shown:
        oss = shown["nodes"].get("oss", shown["nodes"]["mgs"])
        say(f"  emf run '*' package_version {packaged()!r}")
        say(f"  emf data {oss[0]} stats")
    if "lustre" in shown:
        say(f"  emf data {fqdn} stats")
        socket = shown["lustre"]["metrics"]["socket"]
        say(f"  curl --unix-socket {socket} http://localhost/metrics")


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--once", action="store_true", help="end when everything was shown")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--role", choices=ROLES, help="a simulated Lustre node, not this machine")
    parser.add_argument(
        "--nodes",
        type=node_count,
        default=0,
        help="so many simulated Lustre nodes beside this one: MGS, MDS, OSS, clients",
    )
    return parser.parse_args()


def node_count(text: str) -> int:
    """Read a number of nodes that one machine can simulate."""
    if not text.isdecimal() or not 0 <= (count := int(text)) <= MOST_NODES:
        raise argparse.ArgumentTypeError(f"give 0 to {MOST_NODES} nodes, not {text!r}")
    return count


def main() -> int:
    """Run the demo, and leave nothing behind."""
    wanted = arguments()
    for number in ENDINGS:
        signal.signal(number, interrupted)
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="emf-demo-") as folder, ExitStack() as stack:
        try:
            shown, environment = demo(Path(folder), stack, wanted.role, wanted.nodes)
            if wanted.json:
                print(json.dumps(shown, indent=2), flush=True)
            if wanted.once:
                return 0
            what_to_look_at(shown, environment)
            say("\nCtrl-C ends the demo.")
            signal.pause()
        except KeyboardInterrupt:
            say("\nending; nothing is left behind")
            return 0 if not wanted.once else 130
        except (DemoError, httpx.HTTPError) as error:
            say(f"demo: {error}")
            for log in sorted(Path(folder).glob("*.log")):
                say(f"--- {log.name}\n{log.read_text()[-4000:]}")
            return 1
        finally:
            hold_on()
    return 0


if __name__ == "__main__":
    sys.exit(main())
