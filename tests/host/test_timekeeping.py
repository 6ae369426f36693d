"""The time service: the edits of its files, what its programs say, and the daemons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.errors import ActionError
from emf_agent.plugin import ActionContext, ArgumentsError, NotApplicableError
from emf_plugins_host.config_file import difference, read_config, replace_config
from emf_plugins_host.timekeeping import daemons, sources
from emf_plugins_host.timekeeping.actions import configuration_files, configure_ntp
from emf_plugins_host.timekeeping.configuration import edit_chrony, edit_ntp, is_edited
from emf_plugins_host.timekeeping.daemons import Clock, Ntp
from emf_plugins_host.timekeeping.kernel_clock import is_synchronized
from tests.host.bus import FakeBus
from tests.host.programs import Programs
from tests.host.samples import first_value
from tests.host.systemd import FakeSystemd, Unit

pytestmark = pytest.mark.anyio

STOCK = """driftfile /var/lib/ntp/drift
# a comment that names a server
server 0.centos.pool.ntp.org iburst
server 1.centos.pool.ntp.org iburst

keys /etc/ntp/keys
"""
FOR_A_SERVER = """driftfile /var/lib/ntp/drift
# a comment that names a server
server adm.local iburst # IML_EDIT server 0.centos.pool.ntp.org iburst
# IML_EDIT server 1.centos.pool.ntp.org iburst

keys /etc/ntp/keys
"""
FOR_LOCALHOST = """driftfile /var/lib/ntp/drift
# a comment that names a server
server  127.127.1.0 # IML_EDIT
fudge   127.127.1.0 stratum 10 # IML_EDIT server 0.centos.pool.ntp.org iburst
# IML_EDIT server 1.centos.pool.ntp.org iburst

keys /etc/ntp/keys
"""
CHRONY = "pool 2.debian.pool.ntp.org iburst\nserver a\nmakestep 1 3\n"
CHRONY_EDITED = """# IML_EDIT_BEGIN
server adm.local iburst
# IML_EDIT_END
# IML_EDIT pool 2.debian.pool.ntp.org iburst
# IML_EDIT server a
makestep 1 3
"""


def test_ntp_conf_is_pointed_at_a_server() -> None:
    assert edit_ntp(STOCK, "adm.local") == FOR_A_SERVER


def test_ntp_conf_is_pointed_at_the_nodes_own_clock() -> None:
    assert edit_ntp(STOCK, "localhost") == FOR_LOCALHOST


def test_chrony_conf_has_no_comment_at_the_end_of_a_line() -> None:
    assert edit_chrony(CHRONY, "adm.local") == CHRONY_EDITED
    assert "local stratum 10\n" in edit_chrony(CHRONY, "localhost")


@pytest.mark.parametrize("edit", [edit_ntp, edit_chrony])
def test_a_file_without_a_server_gets_one(edit: Any) -> None:
    edited = edit("makestep 1 3\n", "adm.local")

    assert "server adm.local iburst" in edited
    assert edit(edited, None) == "makestep 1 3\n"


LINES = st.lists(
    st.one_of(
        st.just("server a iburst"),
        st.just("pool b"),
        st.text("abc #\t", max_size=12).map(str.rstrip),
    ),
    max_size=8,
)
SERVERS = st.lists(st.sampled_from(["adm.local", "localhost", "10.0.0.1"]), min_size=1, max_size=4)


@pytest.mark.parametrize("edit", [edit_ntp, edit_chrony])
@given(lines=LINES, servers=SERVERS)
def test_any_edits_undo_to_the_original_and_only_the_last_counts(
    edit: Any, lines: list[str], servers: list[str]
) -> None:
    original = "".join(f"{line}\n" for line in lines)
    edited = original
    for server in servers:
        edited = edit(edited, server)

    assert edited == edit(original, servers[-1])
    assert is_edited(edited)
    assert edit(edited, None) == original


def test_a_file_that_the_ancestor_edited_is_recognised_and_undone() -> None:
    assert is_edited(FOR_A_SERVER)
    assert edit_ntp(FOR_A_SERVER, None) == STOCK
    assert not is_edited(STOCK)


def test_a_file_is_replaced_whole_with_mode_and_link_kept(tmp_path: Path) -> None:
    real = tmp_path / "real.conf"
    real.write_bytes(b"old \xff\n")
    real.chmod(0o640)
    link = tmp_path / "ntp.conf"
    link.symlink_to(real)
    replace_config(link, read_config(link).replace("old", "new"))

    assert link.is_symlink()
    assert real.read_bytes() == b"new \xff\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ntp.conf", "real.conf"]


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ActionError, match=r"ntp\.conf: No such file or directory \(os error 2\)"):
        replace_config(tmp_path / "ntp.conf", "x")
    assert list(tmp_path.iterdir()) == []


def test_a_difference_shows_the_lines() -> None:
    shown = difference(Path("/etc/ntp.conf"), STOCK, FOR_A_SERVER)

    assert "-server 0.centos.pool.ntp.org iburst" in shown
    assert "+server adm.local iburst # IML_EDIT server 0.centos.pool.ntp.org iburst" in shown


def test_a_node_without_a_time_service_says_which_files_were_sought(tmp_path: Path) -> None:
    with pytest.raises(ActionError, match=r"os error 2.*/etc/chrony\.conf"):
        configuration_files(tmp_path)


def test_each_file_that_is_there_is_edited(tmp_path: Path) -> None:
    (tmp_path / "etc/chrony").mkdir(parents=True)
    (tmp_path / "etc/ntp.conf").write_text(STOCK)
    (tmp_path / "etc/chrony/chrony.conf").write_text(CHRONY)

    assert [(path.name, edit) for path, edit in configuration_files(tmp_path)] == [
        ("ntp.conf", edit_ntp),
        ("chrony.conf", edit_chrony),
    ]


@pytest.mark.parametrize("server", ["a b", "a\nserver evil", "", "-x", "a#b"], ids=repr)
def test_a_server_that_no_name_can_be_is_refused(server: str) -> None:
    with pytest.raises(ArgumentsError, match="server"):
        configure_ntp.bind(server)


def test_null_and_nothing_both_undo() -> None:
    assert configure_ntp.bind(None) == {}
    assert configure_ntp.bind({"server": None}) == {"server": None}
    assert configure_ntp.dry_run
    assert configure_ntp.locks == ("ntp.conf",)
    assert configure_ntp.with_context({}, ActionContext())["context"]


def test_chronys_tracking_is_numbers() -> None:
    text = (
        "C0A80001,192.168.0.1,3,1608624197.402915000,-0.000012345,0.000001,0.000023,"
        "-12.345,-0.001,0.012,0.001234,0.000567,64.2,Normal\n"
    )
    assert sources.chrony_tracking(text) == {
        "reference": "192.168.0.1",
        "stratum": 3,
        "offset_seconds": 0.000012345,
        "frequency_ppm": -12.345,
        "root_delay_seconds": 0.001234,
        "root_dispersion_seconds": 0.000567,
        "leap": "Normal",
    }


def test_chronys_sources_are_numbers() -> None:
    text = (
        "^,*,192.168.0.1,2,6,377,41,0.000012,0.000034,0.001\n"
        "#,?,PPS0,0,4,0,4294967295,0.0,0.0,0.0\n"
        "rubbish\n"
    )
    first, second = sources.chrony_sources(text)
    assert first == {
        "name": "192.168.0.1",
        "mode": "server",
        "state": "selected",
        "stratum": 2,
        "reach": 255,
        "offset_seconds": 0.000012,
        "error_seconds": 0.001,
    }
    assert (second["mode"], second["state"]) == ("reference clock", "unreachable")


def test_ntpds_answers_are_numbers() -> None:
    variables = (
        'associd=0 status=0615 leap_none, sync_ntp, 1 event,\nversion="ntpd 4.2.6p5", leap=00, '
        "stratum=3, rootdelay=1.234, rootdisp=5.5,\nrefid=10.0.0.1, offset=-0.949, frequency=4.5\n"
    )
    tracking = sources.ntpd_tracking(variables)
    assert tracking is not None
    assert (tracking["stratum"], tracking["reference"]) == (3, "10.0.0.1")
    assert tracking["offset_seconds"] == pytest.approx(-0.000949)

    peers = (
        "     remote           refid      st t when poll reach   delay   offset  jitter\n"
        "==============================================================================\n"
        "*10.0.0.1        .GPS.            1 u   41   64  377    0.123    0.949   0.010\n"
        " 10.0.0.2        .INIT.          16 u    -   64    0    0.000    0.000   0.000\n"
    )
    first, second = sources.ntpd_sources(peers)
    assert (first["state"], first["reach"]) == ("selected", 255)
    assert first["offset_seconds"] == pytest.approx(0.000949)
    assert second["state"] == "unreachable"


@given(st.text(max_size=200))
def test_any_text_of_a_time_service_is_read_or_left_out(text: str) -> None:
    sources.chrony_tracking(text)
    sources.chrony_sources(text)
    sources.ntpd_tracking(text)
    sources.ntpd_sources(text)
    sources.chrony_offset_text(text)
    sources.ntpd_offset_text(text)


def test_the_kernel_says_whether_its_clock_is_synchronised() -> None:
    assert is_synchronized() in (True, False, None)


def running(name: str) -> Unit:
    return Unit(name, "enabled", "active")


@pytest.fixture
def booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the node be one that systemd started, and wait long for its programs."""
    monkeypatch.setattr(daemons, "ANSWER_WITHIN_S", 60)
    monkeypatch.setattr(daemons, "SYSTEMD_RUNS", tmp_path)


@pytest.mark.parametrize("daemon", [Ntp, Clock])
async def test_a_node_without_systemd_says_so(
    daemon: type[Ntp] | type[Clock], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemons, "SYSTEMD_RUNS", tmp_path / "nowhere")

    with pytest.raises(NotApplicableError, match="systemd does not run here"):
        await daemon().start_session()


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize(
    ("units", "synchronized", "state"),
    [
        ([], False, "None"),
        (["chronyd.service", "ntpd.service"], True, "Multiple"),
        (["chronyd.service"], True, "Synced"),
        (["ntp.service"], None, "Unknown"),
        (["chrony.service"], False, {"Unsynced": "0.000949123 seconds"}),
        (["ntpd.service"], False, {"Unsynced": "949 ms"}),
    ],
    ids=str,
)
async def test_the_time_state_is_the_ancestors_word(
    bus: FakeBus, programs: Programs, units: list[str], synchronized: bool | None, state: Any
) -> None:
    FakeSystemd(bus, *map(running, units))
    programs.add("chronyc", stdout="Stratum : 2\nOffset          : -0.000949123 seconds\n")
    programs.add("ntpstat", stdout="unsynchronised\n  time correct to within 949 ms\n", code=1)

    assert await first_value(Ntp(synchronized=lambda: synchronized)) == state


@pytest.mark.usefixtures("booted")
async def test_a_time_service_that_says_nothing_is_unsynced_without_an_offset(
    bus: FakeBus, programs: Programs
) -> None:
    FakeSystemd(bus, running("chronyd.service"))

    assert await first_value(Ntp(synchronized=lambda: False)) == {"Unsynced": None}


@pytest.mark.usefixtures("booted")
async def test_the_clock_is_told_in_numbers(bus: FakeBus, programs: Programs) -> None:
    FakeSystemd(bus, running("chronyd.service"))
    programs.script(
        "chronyc",
        'case "$*" in *tracking) echo "7F7F0101,,10,1.0,0,0,0,0,0,0,0,0,0,Normal" ;;'
        ' *) echo "^,*,adm,2,6,377,41,0.5,0.5,0.1" ;; esac\n',
    )
    clock = await first_value(Clock(synchronized=lambda: True))

    assert clock["services"] == ["chrony"]
    assert clock["tracking"]["stratum"] == 10
    assert clock["sources"][0]["offset_seconds"] == 0.5
