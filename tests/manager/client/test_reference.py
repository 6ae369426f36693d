"""``docs/emf.md`` says what the program does: no command or option too many, none missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from emf_manager.client.cli import emf
from emf_manager.client.connection import KEYS
from emf_manager.client.job_view import EXIT_CODES

PAGE = (Path(__file__).parents[3] / "docs" / "emf.md").read_text(encoding="utf-8")


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(emf, "emf"))


def usage(path: str, command: click.Command) -> str:
    """Return the command with its arguments, as the page writes it."""
    names = [
        argument.make_metavar(click.Context(command))
        for argument in command.params
        if isinstance(argument, click.Argument)
    ]
    return " ".join([path, *names])


def told_of(path: str, command: click.Command) -> str:
    """Return what the page says of one command: its table row, or its section."""
    mark = f"`{usage(path, command)}`"
    row = re.search(rf"^\| {re.escape(mark)} \|.*$", PAGE, re.MULTILINE)
    if row:
        return row[0]
    section = re.search(rf"^### {re.escape(mark)}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, f"{mark} is not in docs/emf.md"
    return section[1]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path)
def test_each_command_is_told_with_each_of_its_options(path: str) -> None:
    command = COMMANDS[path]
    told = told_of(path, command)

    options = {name for o in command.params if isinstance(o, click.Option) for name in o.opts}
    assert set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", told)) >= options
    assert set(re.findall(r"`(--[a-z-]+)", told)) <= options


def test_no_command_is_told_that_does_not_exist() -> None:
    for words in re.findall(r"`(emf [a-z]+(?: [a-z]+)?)", PAGE):
        known = [path for path in COMMANDS if path == words or path.startswith(f"{words} ")]
        assert known or words.rsplit(" ", 1)[0] in COMMANDS, words


def test_the_flags_before_a_command_are_told() -> None:
    for option in emf.params:
        assert any(f"`{name}" in PAGE or f"{name}`" in PAGE for name in option.opts), option.opts


def test_each_exit_code_is_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}

    assert told == {0, 1, 2, 3, 4, 5, 69, 78, 124, 130}
    assert set(EXIT_CODES.values()) <= told
    order = re.search(r"the first of ([\d, ]+) is taken", PAGE)
    assert order
    assert [int(code) for code in order[1].split(",")] == list(dict.fromkeys(EXIT_CODES.values()))


def test_each_key_of_the_file_is_told() -> None:
    assert all(f"`{key}`" in PAGE for key in KEYS)
