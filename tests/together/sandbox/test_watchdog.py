"""REL14 on a real systemd: a plugin that holds the event loop costs a restart, and is named."""

from __future__ import annotations

import pytest

from tests.together.programs import eventually
from tests.together.sandbox.site import Site

pytestmark = [pytest.mark.sandbox, pytest.mark.slow("boots a machine, and waits for its watchdog")]


def test_a_blocked_loop_is_restarted_by_systemd_and_the_journal_names_the_plugin(
    site: Site,
) -> None:
    site.kill_agent()
    site.start_agent("Type=notify", "WatchdogSec=4", "Restart=always", "RestartSec=1")
    job = site.begin("block")

    def restarts() -> bool:
        shown = site.machine.run("systemctl", "show", "-p", "NRestarts", "--value", "emf-agent")
        return int(shown) > 0

    eventually(restarts, "the restart by the watchdog")
    told = site.outcome(job)
    assert (told["outcome"], told["reason"]) == ("unknown", "agent-restart")
    log = site.machine.run("journalctl", "--no-pager", "-u", "emf-agent", "-o", "cat")
    assert "blocked by slow:block" in log
    site.machine.run("systemctl", "stop", "emf-agent")
    site.start_agent()
