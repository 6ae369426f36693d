"""Makes the pictures of the web page for README and docs: `hatch run docs:screenshots`.

Two managers stand in for a site: one with real agents of this machine, one with a large simulated
fleet. A picture is a row of ``PICTURES``: its name, where it is taken, and how; add yours there.
Needs Chromium (Debian: chromium).
"""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from web_bench.site import serving  # noqa: E402

from tests.together.browser.chromium import chromium, find_chromium  # noqa: E402
from tests.together.programs import Manager, Node, a_manager, eventually  # noqa: E402

FOLDER = Path(__file__).parent / "pictures"
MOST_BYTES = 1_500_000
"""All pictures together."""
NODES = ("mds01.example.com", "oss01.example.com")
DESK, PHONE = (1280, 800), (360, 740)


@dataclass(frozen=True)
class Picture:
    """One picture: of which site, at which address, how."""

    name: str
    path: str
    site: str = "small"
    """``small``: real agents; ``large``: 5,000 simulated nodes; ``door``: nobody signed in."""
    dark: bool = False
    size: tuple[int, int] = DESK


PICTURES = (
    Picture("login", "/ui/login", "door"),
    Picture("fleet-large", "/ui/", "large"),
    Picture("fleet-large-dark", "/ui/", "large", dark=True),
    Picture("fleet-table", "/ui/nodes", "large"),
    Picture("fleet", "/ui/"),
    Picture("node", f"/ui/nodes/{NODES[1]}"),
    Picture("node-dark", f"/ui/nodes/{NODES[1]}", dark=True),
    Picture("daemon", f"/ui/nodes/{NODES[1]}/daemons/host"),
    Picture("action", f"/ui/actions/package_version?nodes={','.join(NODES)}"),
    Picture("jobs", "/ui/jobs", dark=True),
    Picture("node-phone", f"/ui/nodes/{NODES[1]}", size=PHONE),
)


@contextmanager
def small_site(folder: Path) -> Generator[Manager, None, None]:
    """Run a manager with agents of this machine until the block ends."""
    with ExitStack() as stack:
        manager = stack.enter_context(a_manager(folder))
        nodes = [stack.enter_context(a_node_of_a_role(folder, name, manager)) for name in NODES]
        operator = manager.operator(nodes[0].folder)
        for name in NODES:
            path = f"/nodes/{name}"
            eventually(lambda path=path: (operator.get(path) or {}).get("plugins"), "its report")
        for action in ("package_installed", "package_version"):
            operator.emf("run", "--detach", ",".join(NODES), action, "python3")
        yield manager


@contextmanager
def a_node_of_a_role(folder: Path, name: str, manager: Manager) -> Generator[Node, None, None]:
    """Run an agent whose role is in its name until the block ends."""
    node = Node(folder, name)
    enrolled = node.enrol(manager, manager.enrolment_token("--role", name[:3]))
    if enrolled.returncode:
        sys.exit(enrolled.stderr)
    node.start()
    try:
        yield node
    finally:
        node.stop(signal.SIGKILL)


def take(page: Any, url: str, wanted: Iterator[Picture]) -> None:
    """Take the pictures of one site."""
    for picture in wanted:
        width, height = picture.size
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if picture.dark else "light")
        page.goto(url + picture.path)
        page.wait_for_timeout(1500)  # what follows the event stream has said so
        page.screenshot(path=FOLDER / f"{picture.name}.png")
        print(picture.name)


def of_site(site: str) -> Iterator[Picture]:
    asked = set(sys.argv[1:])
    return (one for one in PICTURES if one.site == site and (not asked or one.name in asked))


def main() -> None:
    if find_chromium() is None:
        sys.exit("no Chromium is here; install it (Debian: chromium)")
    logging.disable(logging.WARNING)
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="emf-pictures-") as folder:
        if any(of_site("large")):
            large = Path(folder) / "large"
            large.mkdir()
            with serving(large, 5000) as site, chromium(site.folder) as browser:
                page = browser.new_page()
                page.goto(site.link)
                page.wait_for_url("**/ui/")
                take(page, site.url, of_site("large"))
        if any(of_site("small")) or any(of_site("door")):
            with small_site(Path(folder)) as manager, chromium(manager.data) as browser:
                page = browser.new_page()
                take(page, manager.url, of_site("door"))
                page.goto(manager.admin("user", "login-link", "ann")["link"])
                page.wait_for_url("**/ui/")
                take(page, manager.url, of_site("small"))
    total = sum(one.stat().st_size for one in FOLDER.glob("*.png"))
    print(f"{total} bytes in all")
    if total > MOST_BYTES:
        sys.exit(f"the pictures have {total} bytes, {MOST_BYTES} is the most")


if __name__ == "__main__":
    main()
