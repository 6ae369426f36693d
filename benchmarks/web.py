"""What the page costs with a large fleet: the server's time, bytes, and the browser's main thread.

Fills a store with simulated nodes, serves it over TLS, asks for the overview again and again by
HTTP, and then looks with Chromium (where one is installed) while events change the fleet: what
each task of the page's main thread took, by the clock and of CPU.
Prints one JSON document.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import re
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from web_bench.site import Site, nodes_of, serving  # noqa: E402

PAGES = ("/ui/", "/ui/nodes", "/ui/?nodes=oss*", "/ui/nodes/oss03100.example.com")


def signed_in(site: Site) -> httpx.Client:
    """Return a client with the cookie of a login."""
    client = httpx.Client(base_url=site.url, verify=False, trust_env=False, timeout=60)
    from_page = {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}
    answer = client.post("/ui/login", data={"token": site.token}, headers=from_page)
    assert answer.status_code == 303, answer.text
    return client


def server_times(client: httpx.Client, path: str, times: int) -> dict[str, float]:
    """Return how long a page takes, in milliseconds: by the clock, and of the process's CPU."""
    client.get(path)
    wall, cpu, size, packed = [], [], 0, 0
    for _ in range(times):
        began, cpu_began = time.perf_counter(), time.process_time()
        with client.stream("GET", path) as answer:
            packed = sum(len(part) for part in answer.iter_raw())
            assert answer.status_code == 200, answer.status_code
        wall.append((time.perf_counter() - began) * 1e3)
        cpu.append((time.process_time() - cpu_began) * 1e3)
    size = len(client.get(path).content)
    return {
        "wall_ms_median": round(statistics.median(wall), 1),
        "wall_ms_least": round(min(wall), 1),
        "cpu_ms_median": round(statistics.median(cpu), 1),
        "bytes": size,
        "bytes_sent": packed,
    }


def first_load(client: httpx.Client) -> int:
    """Return the bytes of the overview with everything it needs, as they are sent."""
    page = client.get("/ui/").text
    seen: set[str] = set()
    waiting = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page)
    total = len(gzip.compress(page.encode()))
    while waiting:
        url = waiting.pop()
        if url in seen:
            continue
        seen.add(url)
        text = client.get(url).text
        total += len(gzip.compress(text.encode()))
        folder = url.rpartition("/")[0]
        modules = re.findall(r'(?:from|^import) "\./([^"]+)"', text, re.MULTILINE)
        waiting += [f"{folder}/{name}" for name in modules]
    return total


def tasks_of(trace: bytes) -> list[tuple[float, float]]:
    """Return the tasks of a page's main thread: milliseconds by the clock, and of CPU."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (one["pid"], one["tid"])
        for one in events
        if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"
    }
    return [
        (one["dur"] / 1e3, one.get("tdur", 0) / 1e3)
        for one in events
        if one["name"].endswith("RunTask")
        and one.get("ph") == "X"
        and (one["pid"], one["tid"]) in mains
    ]


def told(tasks: list[tuple[float, float]]) -> dict[str, Any]:
    return {
        "tasks": len(tasks),
        "longest_cpu_ms": round(max((cpu for _, cpu in tasks), default=0), 1),
        "longest_wall_ms": round(max((wall for wall, _ in tasks), default=0), 1),
        "over_50_ms_cpu": sorted(round(cpu, 1) for _, cpu in tasks if cpu > 50),
    }


def in_browser(site: Site, count: int, seconds: float) -> dict[str, Any]:
    """Look at the overview while nodes are removed, and return the tasks of its main thread.

    What a task took by the clock is also what other programs took of the machine meanwhile, so
    that CPU time is what carries over.
    """
    from tests.together.browser.chromium import chromium, find_chromium

    if find_chromium() is None:
        return {"skipped": "no Chromium is installed"}
    doomed = [node.fqdn for node in nodes_of(count) if node.role == "client"][:10]
    categories = ["toplevel", "__metadata"]
    with chromium(site.folder) as browser:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(120_000)
        page.goto(site.link)
        page.wait_for_url("**/ui/")
        browser.start_tracing(page=page, categories=categories)
        page.reload()
        page.locator("#live.on").wait_for()
        at_load = tasks_of(browser.stop_tracing())
        browser.start_tracing(page=page, categories=categories)
        headers = {"Authorization": f"Bearer {site.token}"}
        with httpx.Client(base_url=site.url, verify=False, trust_env=False, timeout=60) as api:
            for fqdn in doomed:
                api.delete(f"/api/v1/nodes/{fqdn}", headers=headers).raise_for_status()
                page.wait_for_timeout(seconds * 1000 / len(doomed))
        shown = page.locator("#sums strong").inner_text()
        live = tasks_of(browser.stop_tracing())
    return {
        "at_load": told(at_load),
        "live": told(live),
        "events": len(doomed),
        "nodes_shown_at_the_end": shown,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="emf-web-bench-") as folder,
        serving(Path(folder), asked.nodes) as site,
    ):
        with closing(signed_in(site)) as client:
            figures: dict[str, Any] = {
                "nodes": asked.nodes,
                "load_average": os.getloadavg()[0],
                "pages": {path: server_times(client, path, asked.times) for path in PAGES},
                "first_load_bytes_sent": first_load(client),
            }
        figures["browser"] = in_browser(site, asked.nodes, asked.seconds)
    text = json.dumps(figures, indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
