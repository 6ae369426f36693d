"""A site that stands ready: a real manager, a real agent, three operators; for tests of commands.

Starting programs takes seconds; a test of one more command need not pay them. The fixture ``site``
(in ``conftest.py``) is made once for each pytest process, so also once for each worker of xdist,
and is shared by every test that asks for it. Hence the rules:

- Leave the site as you found it: its node stays enrolled and connected, its manager runs. Name what
  you make (users, groups, plans) after your test, and expect others' jobs in lists.
- To kill, restart, revoke: start programs of your own with ``programs.a_manager`` and ``a_node``,
  or enrol one more node with ``site.another_node(NAME)``.

What is on it::

    def test_it(site: Site) -> None:
        done = site.emf("run", site.name, "echo", '"hello"')          # as admin, a CompletedProcess
        shown = site.emf_json("node", "show", site.name)              # adds --json, must end with 0
        refused = site.emf("run", site.name, "echo", "x", user="viewer")
        node = site.get("/nodes/oss1.example")                        # the API; None for 404
        answer = site.call("POST", "/jobs", {...}, user="operator")   # any request: httpx.Response
        line = site.admin("token", "list")                            # emf-manager … --json
        site.node.agent("plugin", "list")                             # emf-agent on the node

The node loads what is installed and a plugin of its own that works on every bundle set. Its
actions: ``echo TEXT``, ``fail WHY``, ``wait SECONDS`` (tells its progress, ends when cancelled),
``mark FILE`` (appends a line; has a dry run). Its daemon ``pulse`` has a new value each second:
``{"beats": counter, "level": 0.0 to 1.0}``.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.together.programs import Manager, Node, a_manager, a_node, eventually, ok, run

__all__ = ["NAME", "Site", "User", "a_site"]

NAME = "oss1.example"
User = Literal["viewer", "operator", "admin"]

PLUGIN = '''
"""What the node of a site can do, whatever bundles are installed."""

from pathlib import Path

import anyio

from emf_agent.plugin import ActionContext, Daemon, action, hookimpl


@action(timeout_s=60, idempotent=True)
async def echo(text: str) -> str:
    """Return what it was given."""
    return text


@action(timeout_s=60)
async def fail(why: str) -> None:
    """Fail for a reason."""
    raise RuntimeError(why)


@action(timeout_s=600)
async def wait(seconds: float, ctx: ActionContext) -> str:
    """Wait, and tell how far it is."""
    for tenth in range(10):
        ctx.progress(tenth / 10, f"{tenth} of 10")
        await anyio.sleep(seconds / 10)
    return "waited"


@action(timeout_s=60, dry_run=True)
async def mark(file: Path, ctx: ActionContext) -> str:
    """Append a line to a file."""
    if ctx.dry_run:
        return f"would mark {file}"
    with file.open("a") as lines:
        lines.write("mark\\n")
    return f"marked {file}"


class Pulse(Daemon):
    """Has a new value each second."""

    name = "pulse"
    interval_s = 1.0
    beats = 0

    async def update_session(self) -> dict[str, float]:
        self.beats += 1
        return {"beats": self.beats, "level": self.beats % 11 / 10}


@hookimpl
def emf_actions():
    return [echo, fail, wait, mark]


@hookimpl
def emf_daemons():
    return [Pulse]
'''


def install(folder: Path) -> Path:
    """Write the node's plugin and its metadata, as pip would; return the folder."""
    package = folder / "emf_plugin_site"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(PLUGIN)
    dist_info = folder / "emf_plugin_site-1.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: emf-plugin-site\nVersion: 1.0\n"
    )
    (dist_info / "entry_points.txt").write_text(
        "[emf_agent.plugins]\nsite = emf_plugin_site.plugin\n"
    )
    return folder


class Site:
    """A manager, a node that is connected, and whoever looks at them."""

    def __init__(self, folder: Path, manager: Manager, node: Node, plugins: Path) -> None:
        self.folder = folder
        self.manager = manager
        self.node = node
        self.name = node.name
        self._plugins = plugins
        self.authority = folder / "ca.crt"
        self.authority.write_text(
            ok("emf-manager", "ca", "show", "--pem", "--data-dir", str(manager.data))
        )
        self.tokens: Mapping[User, str] = {
            role: str(manager.admin("user", "create", role, "--role", role)["token"])
            for role in ("viewer", "operator", "admin")
        }
        context = ssl.create_default_context(cafile=str(self.authority))
        self.http = httpx.Client(base_url=manager.url, verify=context, trust_env=False, timeout=30)

    def environment(self, user: User = "admin") -> dict[str, str]:
        """Return the variables by which ``emf`` finds the manager."""
        return {
            "EMF_MANAGER_URL": self.manager.url,
            "EMF_TOKEN": self.tokens[user],
            "EMF_CA": str(self.authority),
        }

    def emf(self, *arguments: str, user: User = "admin", stdin: str = "") -> Any:
        """Type a command of ``emf``; returns the ended process."""
        return run("emf", *arguments, stdin=stdin, **self.environment(user))

    def emf_json(self, *arguments: str, user: User = "admin") -> Any:
        """Type a command that must succeed, and return the document it printed."""
        done = self.emf(*arguments, "--json", user=user)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: User = "admin",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request to the API; ``path`` begins below ``/api/v1``."""
        authorization = {"Authorization": f"Bearer {self.tokens[user]}"}
        return self.http.request(
            method, f"/api/v1{path}", json=body, headers={**authorization, **(headers or {})}
        )

    def get(self, path: str, *, user: User = "admin") -> Any:
        """Return a resource; None while it is not there."""
        answer = self.call("GET", path, user=user)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return answer.raise_for_status().json()

    def admin(self, *arguments: str) -> Any:
        """Run a command of ``emf-manager`` and return the document it printed."""
        return self.manager.admin(*arguments)

    def sessions(self, name: str | None = None) -> dict[str, str]:
        """Return the sessions of a node and their states."""
        found: dict[str, str] = (self.get(f"/nodes/{name or self.name}") or {}).get("sessions", {})
        return found

    def settled(self, name: str | None = None) -> None:
        """Wait until a node takes actions and sends data."""
        wanted = {"agent", "action_runner", "pulse"}

        def all_active() -> bool:
            states = self.sessions(name)
            return all(states.get(one) == "active" for one in wanted)

        eventually(all_active, f"the sessions of {name or self.name}")
        eventually(lambda: self.get("/actions/echo"), "the catalogue")

    @contextmanager
    def another_node(self, name: str) -> Generator[Node]:
        """Enrol one more node with the same plugin, and run it until the block ends."""
        with a_node(self.folder, name, self.manager, self._plugins) as node:
            self.settled(name)
            yield node


@contextmanager
def a_site(folder: Path) -> Generator[Site]:
    """Set a site up in a folder, and take it down when the block ends."""
    plugins = install(folder / "plugins")
    with a_manager(folder) as manager, a_node(folder, NAME, manager, plugins) as node:
        site = Site(folder, manager, node, plugins)
        with site.http:
            site.settled()
            yield site
