"""Every command of ``emf``, route of the API and page is exercised over real TLS, with real agents.

One tour runs on the shared site what only looks and what can be undone. What kills, rolls out or
needs a fleet has a test of its own, which the table ``ELSEWHERE`` names. A new command, route or
page that neither has fails here with its name.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from emf_manager.authorization import ROUTES
from emf_manager.web.rooms import PAGES
from tests.together.programs import Node, eventually, ok
from tests.together.site import NAME, Site
from tests.together.tour import Tour, commands

HERE = Path(__file__).parent

ELSEWHERE = {
    **dict.fromkeys(
        (
            *("action list", "action show", "data", "event list", "job list"),
            *("node list", "node show", "ping", "session list", "whoami"),
        ),
        "test_agent_meets_manager::test_every_command_of_the_operator_answers",
    ),
    **dict.fromkeys(
        ("alert acknowledge", "alert show"),
        "test_alerts_end_to_end::"
        "test_a_killed_agent_is_raised_acknowledged_and_cleared_when_it_is_back",
    ),
    "apply": "test_plans_end_to_end::test_a_plan_uses_outputs_fails_where_it_must_and_is_resumed",
    **dict.fromkeys(
        ("group set", "job tail", "run", "targets"),
        "test_rollout_end_to_end::test_a_fleet_is_chosen_shown_and_rolled_over_a_killed_manager",
    ),
    "node approve": "test_identity_end_to_end::test_a_node_waits_until_it_is_approved",
    "node remove": "test_identity_end_to_end::test_a_removed_name_starts_with_nothing",
    "node revoke": (
        "test_identity_end_to_end::test_a_revoked_node_is_out_and_comes_back_by_enrolling_again"
    ),
    "plan cancel": "test_plans_end_to_end::test_a_running_plan_is_cancelled",
    "plan resume": (
        "test_plans_end_to_end::test_a_plan_uses_outputs_fails_where_it_must_and_is_resumed"
    ),
}
"""Commands that the tour leaves to a test beside it, as ``module::test``."""

READ = (
    *("/health", "/openapi.json", "/me", "/metrics", "/nodes", f"/nodes/{NAME}", "/sessions"),
    *("/data", f"/data/{NAME}/pulse", f"/history/{NAME}/pulse", "/actions", "/actions/echo"),
    *("/groups", "/jobs", "/plans", "/events", "/alerts", "/audit", "/users", "/users/admin"),
    *("/tokens", "/enrolment-tokens"),
)
"""What can be read on any site."""

SHOWN = (
    *("/", "/nodes", f"/find?q={NAME}", f"/nodes/{NAME}", f"/nodes/{NAME}/daemons/pulse"),
    *("/actions", "/actions/echo", "/jobs", "/plans", "/plans/new", "/alerts", "/events"),
    *("/audit", "/access", "/account"),
)
"""Pages that are there on any site."""

PLAN = f"""\
version: 1
name: tour
jobs:
  tour:
    nodes: {NAME}
    steps:
      - action: wait
        args: {{seconds: 600}}
"""

BROKEN = "broken.example"


def what_can_be_read(tour: Tour, _folder: Path) -> None:
    for path in READ:
        assert tour.call("GET", path), path
    viewer = {"Authorization": f"Bearer {tour.site.tokens['viewer']}"}
    assert "emf_manager_nodes" in tour.site.http.get("/metrics", headers=viewer).text
    for path in SHOWN:
        tour.look(path)
    assert isinstance(tour.emf_json("alert", "list"), list)
    assert tour.emf_json("audit", "list")
    assert tour.emf("audit", "verify")
    assert tour.emf("event", "tail", "--after", "0", "--count", "1", "--jsonl")
    assert "beats" in tour.emf("watch", NAME, "pulse", "--count", "1", "--jsonl")


def what_goes_on(tour: Tour, _folder: Path) -> None:
    assert "beats" in tour.first_line(f"/data/{NAME}/pulse/stream", "data: ")
    assert json.loads(tour.first_line("/events/stream?after=0", "data: ").partition(":")[2])


def signs_of_life(tour: Tour, _folder: Path) -> None:
    assert tour.call("POST", "/ping", {"nodes": NAME, "timeout_s": 10})
    tour.post(f"/nodes/{NAME}/ping")


def jobs(tour: Tour, _folder: Path) -> None:
    order = {"action": "wait", "args": 600, "nodes": NAME}
    job = tour.call("POST", "/jobs", order)["id"]
    assert tour.emf_json("job", "show", job)["id"] == job
    tour.emf("job", "cancel", job)
    eventually(lambda: tour.call("GET", f"/jobs/{job}")["state"] == "done", "the job's end")

    job = tour.call("POST", "/jobs", order)["id"]
    tour.call("POST", f"/jobs/{job}/cancel")
    eventually(lambda: tour.call("GET", f"/jobs/{job}")["state"] == "done", "the job's end")

    page = tour.fill_in("/actions/wait", nodes=NAME, do="run", **{"args/seconds": "600"})
    assert NAME in tour.look(page)
    tour.post(f"{page}/cancel")
    eventually(lambda: tour.call("GET", page)["state"] == "done", "the job's end")


def groups_and_targets(tour: Tour, _folder: Path) -> None:
    tour.call("PUT", "/groups/tour", {"nodes": NAME})
    assert tour.call("POST", "/targets", {"nodes": "@tour"})["matched"][0]["node"] == NAME
    assert "tour" in tour.emf("group", "list")
    tour.emf("group", "delete", "tour")

    tour.call("PUT", "/groups/tour", {"nodes": NAME})
    tour.call("DELETE", "/groups/tour")


def labels(tour: Tour, _folder: Path) -> None:
    tour.call("PUT", f"/nodes/{NAME}/labels", {"labels": {"rack": "r1", "row": "7"}})
    assert tour.emf("node", "label", NAME, "row-") == "rack=r1\n"
    assert tour.call("POST", "/targets", {"nodes": "@rack=r1"})["matched"][0]["node"] == NAME
    tour.emf("node", "label", NAME, "rack-")
    assert tour.call("GET", f"/nodes/{NAME}/labels")["labels"] == {}


def plans(tour: Tour, _folder: Path) -> None:
    checked = tour.call("POST", "/plans/check", {"document": PLAN})
    assert checked["valid"] is True, checked["faults"]

    plan = f"/plans/{tour.call('POST', '/plans', {'document': PLAN})['id']}"
    cancelled(tour, plan, tour.call)
    tour.call("POST", f"{plan}/resume")
    cancelled(tour, plan, tour.call)

    plan = tour.fill_in("/plans/new", document=PLAN, do="run")
    assert "tour" in tour.look(plan)
    cancelled(tour, plan, lambda _, path: tour.post(path))
    tour.post(f"{plan}/resume")
    cancelled(tour, plan, lambda _, path: tour.post(path))

    number = plan.rpartition("/")[2]
    assert number in tour.emf("plan", "list")
    assert tour.emf_json("plan", "show", number)["state"] == "cancelled"
    assert tour.emf_json("plan", "tail", number, code=1)["id"] == number


def cancelled(tour: Tour, plan: str, ask: Callable[[str, str], object]) -> None:
    ask("POST", f"{plan}/cancel")
    eventually(lambda: tour.call("GET", plan)["state"] == "cancelled", "the plan's end")


def nodes_and_alerts(tour: Tour, folder: Path) -> None:
    waiting, broken = Node(folder, "waiting.example"), Node(folder, BROKEN, broken_plugin(folder))
    for node in (waiting, broken):
        token = tour.call("POST", "/enrolment-tokens", {"approval": True})["secret"]
        assert node.enrol(tour.site.manager, token).returncode == 0

    tour.call("POST", "/nodes/waiting.example/approve")
    assert tour.call("GET", "/nodes/waiting.example")["waiting"] is False
    tour.call("POST", "/nodes/waiting.example/revoke", {"reason": "sold"})
    tour.call("DELETE", "/nodes/waiting.example")

    tour.post(f"/nodes/{BROKEN}/approve")
    broken.start()
    try:
        (alert,) = eventually(
            lambda: tour.call("GET", f"/alerts?nodes={BROKEN}&kind=plugin.failed")["items"],
            "the alert of a broken plugin",
        )
    finally:
        broken.stop()
    where = f"/alerts/{alert['id']}"
    tour.call("POST", f"{where}/acknowledge", {"note": "known"})
    tour.post(f"{where}/acknowledge", note="known twice")
    assert tour.call("GET", where)["acknowledged"]["note"] == "known", "the first one keeps it"
    tour.post(f"/nodes/{BROKEN}/revoke", reason="sold")
    tour.post(f"/nodes/{BROKEN}/remove", reason="sold")


def broken_plugin(folder: Path) -> Path:
    """Write a plugin that fails at import, as pip would install it."""
    site = folder / "plugins"
    dist_info = site / "emf_plugin_broken-1.0.dist-info"
    dist_info.mkdir(parents=True)
    (site / "emf_plugin_broken.py").write_text("raise RuntimeError('broken at import')\n")
    (dist_info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: emf-plugin-broken\nVersion: 1.0\n"
    )
    (dist_info / "entry_points.txt").write_text("[emf_agent.plugins]\nbroken = emf_plugin_broken\n")
    return site


def users_and_tokens(tour: Tour, _folder: Path) -> None:
    tour.call("POST", "/users", {"name": "guest", "role": "operator"})
    bound = [{"nodes": "oss*", "actions": ["echo"]}]
    tour.call("PUT", "/users/guest/mandates", {"mandates": bound})
    token = tour.call("POST", "/tokens", {"user": "guest"})["id"]
    tour.call("DELETE", f"/tokens/{token}")
    tour.call("DELETE", "/users/guest")
    joining = tour.call("POST", "/enrolment-tokens", {"nodes": "guest*"})["id"]
    tour.call("DELETE", f"/enrolment-tokens/{joining}")

    tour.post("/access/users", name="visitor", role="operator")
    tour.post("/access/users/visitor/bind", mandates="echo on oss*")
    tour.post("/access/tokens", user="visitor", label="tour")
    token = next(one["id"] for one in listed(tour, "/tokens") if one["user"] == "visitor")
    tour.post(f"/access/tokens/{token}/revoke")
    tour.post("/access/users/visitor/delete")
    tour.post("/access/enrolments", nodes="visitor*")
    joining = next(
        one["id"] for one in listed(tour, "/enrolment-tokens") if one["nodes"] == "visitor*"
    )
    tour.post(f"/access/enrolments/{joining}/revoke")


def listed(tour: Tour, path: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = tour.call("GET", f"{path}?limit=1000")["items"]
    return found


def the_address_in_a_file(tour: Tour, folder: Path) -> None:
    url = tour.site.manager.url
    own = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "EMF_TOKEN": tour.site.tokens["viewer"],
        "EMF_CA": str(tour.site.authority),
    }

    def typed(*words: str) -> str:
        shown = ok("emf", *words, **own)
        tour.has_typed(*words)
        return shown

    typed("config", "set", "manager", url)
    assert url in typed("config", "show")
    assert "viewer" in typed("whoami")
    typed("config", "unset", "manager")
    assert url not in (folder / "config" / "emf" / "config.toml").read_text()


def logins(tour: Tour, _folder: Path) -> None:
    tour.sign_in()
    tour.site.http.cookies.clear()
    tour.sign_in()
    (other, *_) = re.findall(r'action="/ui(/account/logins/[^"]+)"', tour.look("/account"))
    tour.post(other)


STORIES = (
    what_can_be_read,
    what_goes_on,
    signs_of_life,
    jobs,
    groups_and_targets,
    labels,
    plans,
    nodes_and_alerts,
    users_and_tokens,
    the_address_in_a_file,
    logins,
)


@pytest.fixture(scope="module")
def tour(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Tour:
    """The tour, made."""
    made = Tour(site)
    made.sign_in()
    for story in STORIES:
        story(made, tmp_path_factory.mktemp(story.__name__))
    made.sign_out()
    return made


slow = pytest.mark.slow(reason="starts real programs")


@slow
def test_every_command_is_exercised(tour: Tour) -> None:
    assert set(commands()) - tour.typed - ELSEWHERE.keys() == set()


@slow
def test_every_route_is_exercised(tour: Tour) -> None:
    assert {f"{one.method} {one.path}" for one in ROUTES} - tour.asked == set()


@slow
def test_every_page_is_exercised(tour: Tour) -> None:
    rows = {f"{method} {one.path}" for one in PAGES for method in one.methods}

    assert rows - tour.visited == set()


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_is_left_to_a_test_beside_is_typed_there(command: str) -> None:
    module, _, test = ELSEWHERE[command].partition("::")
    source = (HERE / f"{module}.py").read_text("utf-8")
    words = r",\s*".join(f'"{word}"' for word in command.split())

    assert command in set(commands()), "there is no such command any more"
    assert test in {
        one.name for one in ast.walk(ast.parse(source)) if isinstance(one, ast.FunctionDef)
    }
    assert re.search(words, source), f"{module} does not type it"
