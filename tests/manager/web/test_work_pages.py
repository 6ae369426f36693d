"""The pages of actions and jobs: a form becomes a job, and a job shows what came of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from emf_manager import views as v
from emf_manager.web.jobs import ROWS, shares
from tests.manager.api.fakes import NODES, described
from tests.manager.web.browser_form import controls
from tests.manager.web.conftest import Browser, Site

pytestmark = pytest.mark.anyio

ONE = "oss01.example.com"
START = "/ui/actions/start_unit"


async def operator(site: Site, role: str = "operator") -> Browser:
    browser = site.browser()
    await browser.sign_in(role)
    return browser


async def send(browser: Browser, path: str, **fields: str) -> Any:
    """Fill in the form of an action as it is shown, and press a button of it."""
    shown = dict(controls((await browser.get(path)).text.partition('id="order"')[2]))
    return await browser.send_form(path.partition("?")[0], **{**shown, **fields})


def schema_of(site: Site, **properties: Any) -> None:
    """Have ``start_unit`` take other arguments."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    described_so = described("start_unit", args_schema=schema, dry_run=True)
    site.engine.entries = (v.CatalogueEntry("start_unit", (v.Variant(described_so, NODES),)),)


async def test_a_form_becomes_a_job_on_its_nodes(site: Site) -> None:
    browser = await operator(site)

    answer = await send(browser, START, nodes=ONE, do="run", **{"args/unit": "lnet.service"})

    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == "/ui/jobs/job-0001"
    (order,) = site.engine.orders
    assert (order.nodes, order.args, order.requester) == (
        (ONE,),
        {"unit": "lnet.service"},
        "operator",
    )


async def test_a_form_that_is_sent_twice_is_one_job(site: Site) -> None:
    browser = await operator(site)
    shown = dict(controls((await browser.get(START)).text.partition('id="order"')[2]))
    fields = {**shown, "nodes": ONE, "do": "run", "args/unit": "x"}

    first = await browser.send_form(START, **fields)
    again = await browser.send_form(START, **fields)

    assert first.headers["location"] == again.headers["location"]
    assert len(site.engine.kept) == 1


async def test_what_changes_many_nodes_is_asked_about_once_more(site: Site) -> None:
    browser = await operator(site)
    wanted = {"nodes": "oss[01-03].example.com", "do": "run", "args/unit": "x"}

    asked = await send(browser, START, **wanted)
    other = await send(browser, START, **wanted, sure="2")
    sure = await send(browser, START, **wanted, sure="3")

    assert asked.status_code == 200
    assert "This changes 3 nodes" in asked.text
    assert "This changes 3 nodes" in other.text  # more nodes than were agreed to
    assert sure.status_code == 303
    assert len(site.engine.orders) == 1


async def test_a_dry_run_asks_nothing(site: Site) -> None:
    schema_of(site, unit={"type": "string"})
    browser = await operator(site)

    answer = await send(browser, START, nodes="*", do="run", dry_run="yes", **{"args/unit": "x"})

    assert answer.status_code == 303
    assert site.engine.orders[0].dry_run


async def test_where_it_would_run_is_shown_before(site: Site) -> None:
    site.engine.views[ONE] = replace(site.engine.views[ONE], state="silent", reason="quiet")
    browser = await operator(site)

    answer = await send(browser, "/ui/actions/stop_unit", nodes="*", do="preview")

    text = re.sub(r"<[^>]+>", "", answer.text)
    assert "1 node:" in text
    assert re.search(r"Out of contact now:\s+oss01.example.com", text)
    assert "Left out, 3" in text
    assert not site.engine.orders


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"nodes": ""}, "say on which nodes"),
        ({"nodes": "oss[01-"}, "expected a node set"),
        ({"nodes": "oss99"}, "not enrolled: oss99"),
        ({"nodes": ONE, "exclude": ONE}, "no enrolled node is in"),
        ({"nodes": ONE, "options/timeout_s": "soon"}, "write a number"),
        ({"nodes": ONE, "options/timeout_s": "-3", "options/timeout_s?": "given"}, "expected"),
        ({"nodes": ONE, "key": "short"}, "Idempotency-Key"),
    ],
)
async def test_what_is_wrong_is_said_in_the_form(
    site: Site, fields: dict[str, str], said: str
) -> None:
    browser = await operator(site)

    answer = await send(browser, START, do="run", **{"args/unit": "lnet"}, **fields)

    assert answer.status_code in {400, 404, 422}, answer.text
    assert said in answer.text
    assert 'value="lnet"' in answer.text  # what was typed stays
    assert not site.engine.orders


async def test_what_the_node_would_refuse_is_said_at_the_argument(site: Site) -> None:
    schema_of(site, unit={"type": "integer"})
    browser = await operator(site)

    answer = await send(browser, START, nodes=ONE, do="run", **{"args/unit": "7"})

    assert answer.status_code == 422
    assert "expected a string, got 42" in answer.text
    assert answer.text.count('role="alert"') == 1


async def test_rows_are_added_by_a_button_of_the_form(site: Site) -> None:
    schema_of(site, units={"type": "array", "items": {"type": "string"}})
    browser = await operator(site)

    answer = await send(browser, START, nodes=ONE, edit="+args/units")

    assert answer.status_code == 200
    assert dict(controls(answer.text))["args/units#"] == "1"


async def test_a_secret_does_not_come_back(site: Site) -> None:
    secret = {"type": "string", "format": "password", "writeOnly": True}
    schema_of(site, unit=secret, other={"type": "integer"})
    browser = await operator(site)

    answer = await send(
        browser, START, nodes=ONE, do="run", **{"args/unit": "s3cr3t", "args/other": "x"}
    )

    assert answer.status_code == 422
    assert "s3cr3t" not in answer.text


async def test_a_job_is_ordered_again_with_what_it_had(site: Site) -> None:
    browser = await operator(site)
    await send(browser, START, nodes=ONE, do="run", **{"args/unit": "lnet.service"})

    shown = dict(controls((await browser.get(f"{START}?job=job-0001")).text))

    assert (shown["nodes"], shown["args/unit"]) == (ONE, "lnet.service")


async def test_a_viewer_sees_no_control_that_writes(site: Site) -> None:
    browser = await operator(site)
    await send(browser, START, nodes=ONE, do="run", **{"args/unit": "x"})
    viewer = await operator(site, "viewer")

    action = (await viewer.get(START)).text
    job = (await viewer.get("/ui/jobs/job-0001")).text

    assert 'id="order"' not in action
    assert "you may look at actions, and not run them" in action
    assert "/cancel" not in job
    assert "Run again" not in job
    assert (await viewer.press(START, nodes=ONE, do="run")).status_code == 403
    assert (await viewer.press("/ui/jobs/job-0001/cancel")).status_code == 403


async def test_the_catalogue_is_searched_by_words(site: Site) -> None:
    browser = await operator(site)

    found = (await browser.get("/ui/actions?q=STOP units")).text
    none = (await browser.get("/ui/actions?q=nothing+of+it")).text

    assert "stop_unit" in found
    assert "start_unit" not in found
    assert "No action has all of these words" in none


@pytest.mark.parametrize(
    "path",
    ["/ui/actions/nothing", "/ui/jobs/nothing", "/ui/nodes/nothing/daemons/host",
     f"/ui/nodes/{ONE}/daemons/nothing", f"{START}?job=nothing"],
)  # fmt: skip
async def test_what_is_not_there_is_said_on_a_page(site: Site, path: str) -> None:
    browser = await operator(site)

    answer = await browser.get(path)

    assert answer.status_code == 404
    assert "there is no" in answer.text


async def test_a_job_shows_how_its_nodes_stand(site: Site) -> None:
    browser = await operator(site)
    job = await site.engine.create_job(v.JobOrder("start_unit", NODES, "ann", {"unit": "x"}))
    first, second, third, fourth = NODES
    site.engine.move(job.id, first, state="final", outcome="ok", result={"Ok": "same"})
    site.engine.move(job.id, second, state="final", outcome="ok", result={"Ok": "same"})
    site.engine.move(job.id, third, state="final", outcome="failed", result={"Err": "it burns"})
    site.engine.move(job.id, fourth, silent=True)

    page = (await browser.get(f"/ui/jobs/{job.id}")).text
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))

    assert "4 targeted 2 succeeded 1 failed 1 queued" in text
    assert "2 nodes oss[01-02].example.com same" in text
    assert "it burns" in text
    assert "1 of these is out of contact now: mds01.example.com" in text
    assert page.index("oss03.example.com</a>") < page.index("oss01.example.com</a>")


async def test_nodes_of_a_job_are_narrowed_and_paged(site: Site) -> None:
    many = tuple(f"n{i:04}.example.com" for i in range(ROWS + 20))
    browser = await operator(site)
    job = await site.engine.create_job(v.JobOrder("start_unit", many, "ann", {"unit": "x"}))
    site.engine.move(job.id, many[7], state="final", outcome="failed", result={"Err": "no"})

    first = (await browser.get(f"/ui/jobs/{job.id}")).text
    second = (await browser.get(f"/ui/jobs/{job.id}?from={ROWS}")).text
    failed = (await browser.get(f"/ui/jobs/{job.id}?only=failed")).text
    odd = await browser.get(f"/ui/jobs/{job.id}?from=x&only=%3Cb%3E")

    assert "1 to 100 of 120" in first
    assert "101 to 120 of 120" in second
    assert failed.count('<th scope="row">') == 1
    assert odd.status_code == 200
    assert "No node of this job is in that state" in odd.text


async def test_a_job_is_cancelled_by_a_button(site: Site) -> None:
    browser = await operator(site)
    await send(browser, START, nodes=ONE, do="run", **{"args/unit": "x"})

    answer = await browser.press("/ui/jobs/job-0001/cancel")

    assert answer.headers["location"] == "/ui/jobs/job-0001"
    assert site.engine.kept["job-0001"].targets[0].cancel == "asked"


async def test_jobs_are_listed_by_page_and_by_user(site: Site) -> None:
    browser = await operator(site)
    for number in range(53):
        user = "ann" if number % 2 else "bob"
        await site.engine.create_job(v.JobOrder("start_unit", (ONE,), user, {"unit": "x"}))

    first = (await browser.get("/ui/jobs")).text
    older = re.search(r'href="(/ui/jobs\?cursor=[^"]+)"', first)
    assert older is not None
    second = (await browser.get(older.group(1))).text
    of_ann = (await browser.get("/ui/jobs?user=ann")).text
    odd = await browser.get("/ui/jobs?cursor=odd")

    assert first.count('href="/ui/jobs/job-') == 50
    assert second.count('href="/ui/jobs/job-') == 3
    assert of_ann.count('href="/ui/jobs/job-') == 26
    assert odd.status_code == 422
    assert "not a cursor of this list" in odd.text


def test_the_bar_of_a_job_is_full_when_every_node_is_in_it() -> None:
    parts = shares(v_counts(targeted=8, queued=1, started=2, succeeded=3, failed=1, unknown=1))

    assert round(parts[-1].begin + parts[-1].width) == 100
    assert sum(one.count for one in parts) == 8


def v_counts(**numbers: int) -> Any:
    """Return counts as the API has them."""
    from emf_manager.api.models import Counts

    return Counts(**numbers)
