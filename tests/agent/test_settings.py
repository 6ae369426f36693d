"""Settings: precedence, origins, the ancestor's names, and every mistake at once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationInfo, model_validator

from emf_agent.errors import ConfigurationError
from emf_agent.settings import Paths, Settings, load_settings, plugin_settings
from emf_agent.settings.layers import parse_toml
from emf_agent.settings.template import configuration_text


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / "etc" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def load(folder: Path, environment: dict[str, str] | None = None, **flags: object) -> Settings:
    overrides = {key.replace("__", "."): value for key, value in flags.items()}
    return load_settings(None, folder, overrides, environment=environment or {})


def faults_of(folder: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, environment)
    return str(raised.value)


def test_everything_has_a_default(tmp_path: Path) -> None:
    found = load(tmp_path / "nowhere")

    assert found.actions.concurrent == 32
    assert found.manager.url is None
    assert found.origin("actions.concurrent") == "default"


def test_later_layers_win_and_each_value_knows_who_set_it(tmp_path: Path) -> None:
    main = write(
        tmp_path, "agent.toml", '[log]\nlevel = "error"\nformat = "json"\n[actions]\nconcurrent = 1'
    )
    write(tmp_path, "conf.d/10-a.toml", "[actions]\nconcurrent = 2\nwaiting = 2")
    second = write(tmp_path, "conf.d/20-b.toml", "[actions]\nconcurrent = 3")

    found = load(tmp_path, {"EMF_AGENT_ACTIONS__WAITING": "4"}, log__level="debug")

    assert (found.actions.concurrent, found.actions.waiting) == (3, 4)
    assert (found.log.level, found.log.format) == ("debug", "json")
    assert found.origin("actions.concurrent") == str(second)
    assert found.origin("actions.waiting") == "environment variable EMF_AGENT_ACTIONS__WAITING"
    assert found.origin("log.level") == "command line"
    assert found.origin("log.format") == str(main)


def test_a_flag_that_was_not_given_sets_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, log__level=None).log.level == "info"


def test_hidden_files_among_the_drop_ins_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "conf.d/.10-a.toml.swp.toml", "this is no TOML")

    assert load(tmp_path).origin("log.level") == "default"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("EMF_MANAGER_URL", "manager.url"),
        ("IML_MANAGER_URL", "manager.url"),
        ("PRIVATE_PEM_PATH", "tls.key"),
        ("CRT_PATH", "tls.certificate"),
        ("AUTHORITY_CRT_PATH", "tls.authority"),
    ],
)
def test_the_ancestors_names_mean_the_same(tmp_path: Path, name: str, key: str) -> None:
    value = "https://m.example:8443" if key == "manager.url" else "/x/y"

    found = load(tmp_path, {name: value})

    assert found.origin(key) == f"environment variable {name}"
    section, field = key.split(".")
    assert str(getattr(getattr(found, section), field)) == value


def test_our_own_name_wins_over_the_ancestors(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {
            "EMF_AGENT_MANAGER__URL": "https://c",
            "EMF_MANAGER_URL": "https://b",
            "IML_MANAGER_URL": "https://a",
        },
    )

    assert found.manager.url == "https://c"


def test_text_in_the_environment_stays_text_and_lists_are_json(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {"EMF_AGENT_NODE__FQDN": "12345", "EMF_AGENT_POLICY__DENY": '["lctl", "pcs"]'},
    )

    assert found.node.fqdn == "12345"
    assert found.policy.deny == ("lctl", "pcs")


def test_a_daemons_own_pace_goes_before_that_of_all(tmp_path: Path) -> None:
    write(
        tmp_path,
        "agent.toml",
        "[daemons]\ninterval_s = 30\ndeadline_s = 2.5\n[daemon.network]\ninterval_s = 5",
    )

    found = load(tmp_path)

    assert found.pace("network") == {"interval_s": 5.0, "deadline_s": 2.5}
    assert found.pace("host") == {"interval_s": 30.0, "deadline_s": 2.5}


def test_all_files_are_below_the_state_directory(tmp_path: Path) -> None:
    paths = load(tmp_path).paths

    assert paths.config == tmp_path / "etc/agent.toml"
    assert paths.allowlist == tmp_path / "etc/allowlist.toml"
    assert paths.state == tmp_path / "lib"
    assert paths.runtime == tmp_path / "run"


def test_on_a_node_the_files_are_where_the_fhs_says() -> None:
    paths = Paths.system()

    assert paths.allowlist == Path("/etc/emf-agent/allowlist.toml")
    assert paths.drop_ins == Path("/etc/emf-agent/conf.d")
    assert paths.state == Path("/var/lib/emf-agent")


def test_another_main_file_does_not_move_the_allowlist(tmp_path: Path) -> None:
    mine = write(tmp_path, "mine.toml", "[actions]\nconcurrent = 7")

    found = load_settings(mine, tmp_path / "other", environment={})

    assert found.actions.concurrent == 7
    assert found.paths.allowlist == tmp_path / "other/etc/allowlist.toml"


def test_a_main_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nope\.toml: cannot be read"):
        load_settings(tmp_path / "nope.toml", tmp_path, environment={})


def test_every_mistake_of_every_layer_is_told_at_once(tmp_path: Path) -> None:
    main = write(
        tmp_path, "agent.toml", '[actions]\nconcurent = 3\nwaiting = "5"\n[log]\nlevel = "loud"'
    )
    broken = write(tmp_path, "conf.d/1.toml", "= 3")

    told = faults_of(tmp_path, {"EMF_AGENT_LOGG": "x"}).splitlines()

    assert len(told) == 5
    assert told[0].startswith(f"{broken}: not valid TOML")
    assert f"{main}: actions.concurent: no such setting; did you mean 'concurrent'?" in told
    assert f"{main}: actions.waiting: input should be a valid integer" in told
    assert "environment variable EMF_AGENT_LOGG: logg: no such setting; did you mean 'log'?" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            '[manager]\nurl = "http://m"', "must be an address like https", id="plain http"
        ),
        pytest.param('[manager]\nurl = "https://u:p@m"', "no user", id="password in the address"),
        pytest.param('[manager]\nurl = "https://m:99999"', "manager.url", id="no such port"),
        pytest.param('manager = "https://m"', "manager:", id="text for a table"),
        pytest.param("[daemons]\ninterval_s = 0", "greater than 0", id="no interval"),
        pytest.param("[daemons]\ninterval_s = nan", "daemons.interval_s", id="not a number"),
        pytest.param("[daemon.x]\ninterval = 1", "did you mean 'interval_s'", id="misspelt pace"),
        pytest.param("[backoff]\nfirst_s = 9\ncap_s = 1", "cap_s must be", id="bounds crossed"),
        pytest.param("[actions]\nconcurrent = true", "valid integer", id="truth for a number"),
        pytest.param('[node]\nfqdn = "a b"', "node.fqdn", id="a name with a blank"),
        pytest.param("[outbox]\nmessage_bytes = 9000000", "outbox.message_bytes", id="too large"),
        pytest.param("[[policy.rule]]\naction = 'x'", "argument: field required", id="half a rule"),
        pytest.param("a = " + "[" * 50_000, "agent.toml", id="nested without end"),
    ],
)
def test_a_wrong_value_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    main = write(tmp_path, "agent.toml", text)

    told = faults_of(tmp_path)

    assert told.startswith(f"{main}: ")
    assert said in told


class Table(BaseModel):
    port: int = 80
    token: str = "x"


def test_a_plugins_table_is_checked_by_its_own_model(tmp_path: Path) -> None:
    write(tmp_path, "agent.toml", '[plugin."host.x"]\nport = 8080')

    assert plugin_settings(load(tmp_path), "host.x", Table) == Table(port=8080)
    assert plugin_settings(load(tmp_path), "host.y", Table) == Table()


def test_faults_of_a_plugins_table_name_file_and_key_but_no_value(tmp_path: Path) -> None:
    main = write(tmp_path, "agent.toml", '[plugin."host.x"]\nport = "secret"\nprt = 3')

    with pytest.raises(ConfigurationError) as raised:
        plugin_settings(load(tmp_path), "host.x", Table)

    assert (
        f"{main}: plugin.host.x.prt: no such setting; did you mean 'port'?" in raised.value.faults
    )
    assert any(f"{main}: plugin.host.x.port: " in fault for fault in raised.value.faults)
    assert "secret" not in str(raised.value)


def test_the_first_configuration_is_valid_and_so_is_all_it_shows(tmp_path: Path) -> None:
    text = configuration_text()
    write(tmp_path, "agent.toml", text)
    assert load(tmp_path).model_dump() == load(tmp_path / "nowhere").model_dump()

    shown = "\n".join(
        line.removeprefix("# ") if " = " in line and "(unset)" not in line else line
        for line in text.splitlines()
        if "NAME" not in line and not line.startswith("# `")
    )
    write(tmp_path / "shown", "agent.toml", shown)
    found = load(tmp_path / "shown")
    assert found.model_dump() == load(tmp_path / "nowhere").model_dump()
    assert found.origin("actions.concurrent") != "default"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_of_a_file_do_more_than_be_refused(text: bytes) -> None:
    with suppress(ConfigurationError):
        parse_toml(Path("F"), text)


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_variable_does_more_than_be_refused(name: str, value: str) -> None:
    with suppress(ConfigurationError):
        load_settings(None, Path("/nonexistent"), environment={f"EMF_AGENT_{name}": value})


def test_a_plugins_table_may_know_the_manager_without_being_told(tmp_path: Path) -> None:
    class Heard(BaseModel):
        manager: dict[str, str | None] = {}

        @model_validator(mode="before")
        @classmethod
        def hear(cls, given: Any, info: ValidationInfo) -> Any:
            return {"manager": (info.context or {})["manager"], **given}

    found = load_settings(
        state_dir=tmp_path, overrides={"manager.url": "https://manager:7443"}, environment={}
    )

    heard = plugin_settings(found, "p", Heard).manager

    assert heard["url"] == "https://manager:7443"
    assert heard["key"] == str(tmp_path / "etc" / "tls" / "agent.key")
