"""Settings: defaults that work, and refusals that say what to do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from emf_plugins_lustre.stats.settings import StatsSettings, parse_listen


def test_every_field_has_a_default() -> None:
    settings = StatsSettings()

    assert (settings.listen, settings.metrics_mode, settings.shape) == (None, "compat", "full")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"lisen": "x"}, "Extra inputs"),
        ({"groups": ["changlog"]}, "did you mean 'changelog'"),
        ({"listen": "0.0.0.0:32221"}, "not a loopback address"),
        ({"listen": "somewhere:1"}, "give ADDRESS:PORT"),
        ({"listen": "127.0.0.1:http"}, "is no port"),
        ({"listen": "unix:relative.sock"}, "must be absolute"),
        ({"job": {"include": "("}}, "is no regular expression"),
        ({"job": {"top": 0}}, "greater than or equal to 1"),
        ({"sent_jobs": 0}, "greater than or equal to 1"),
        ({"expect": ["oos"]}, "Input should be"),
        ({"command_timeout_s": 60}, "less than or equal to 25"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_a_wrong_table_is_refused_with_a_reason(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        StatsSettings.model_validate(table)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:32221", ("tcp", "127.0.0.1", 32221)),
        ("localhost:0", ("tcp", "127.0.0.1", 0)),
        ("[::1]:9", ("tcp", "::1", 9)),
        ("unix:/run/x.sock", ("unix", "/run/x.sock", 0)),
    ],
)
def test_addresses(text: str, address: tuple[str, str, int]) -> None:
    assert parse_listen(text) == address
