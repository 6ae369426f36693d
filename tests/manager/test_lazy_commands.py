"""The program ``emf-manager`` knows its commands without importing them, and says the same."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from emf_manager.cli import HELPS, ROOMS, program

HEAVY = ("sqlalchemy", "alembic", "cryptography", "fastapi", "uvicorn", "rich", "pydantic")

SHOW_IMPORTED = f"""
import sys
from emf_manager.cli import program
program(["--help"], standalone_mode=False)
print("imported:", *sorted(set(sys.modules) & set({HEAVY})))
"""


@pytest.mark.parametrize("name", sorted(HELPS))
def test_the_overview_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    command = program.get_command(click.Context(program), name)

    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(200) == HELPS[name]


def test_every_command_is_in_the_overview() -> None:
    shown = CliRunner().invoke(program, ["--help"]).stdout

    assert set(HELPS) == {*ROOMS, *program.commands}
    assert all(f"\n  {name} " in shown for name in HELPS)


def test_a_mistyped_command_is_told_which_one_was_meant() -> None:
    result = CliRunner().invoke(program, ["mailbx"])

    assert result.exit_code == 2
    assert "did you mean mailbox?" in result.stderr


def test_help_imports_neither_the_server_nor_the_store() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTED], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1].split() == ["imported:"]
