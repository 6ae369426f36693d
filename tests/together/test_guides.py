"""The guides name only commands that exist: each line of a `sh` block is taken apart, as typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from emf_agent.cli import program as agent_program
from emf_manager.cli import program as manager_program
from emf_manager.client.cli import emf as operator_program

ROOT = Path(__file__).parents[2]
GUIDES = [
    ROOT / "README.md",
    ROOT / "docs" / "tutorial.md",
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
PROGRAMS: dict[str, click.Command] = {
    "emf": operator_program,
    "emf-agent": agent_program,
    "emf-manager": manager_program,
}


def lines() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of ours in the guides, with the page it is on."""
    for page in GUIDES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if ">" in words:
                    words = words[: words.index(">")]
                if words and words[0] in PROGRAMS:
                    yield str(page.relative_to(ROOT)), words


LINES = list(lines())


def understood(command: click.Command, name: str, words: list[str]) -> None:
    """Parse the words as the command would; raises UsageError where it would."""
    context = click.Context(command, info_name=name)
    # Nothing is asked of a manager, and no value is looked up: the words alone are judged.
    values, rest, _ = command.make_parser(context).parse_args(words)
    if isinstance(command, click.Group):
        below, found, further = command.resolve_command(context, rest)
        assert found is not None
        assert below is not None
        understood(found, below, further)
    else:
        assert not rest, f"too many words: {rest}"
        given = {name for name, value in values.items() if value and "UNSET" not in repr(value)}
        missing = [one.name for one in command.params if one.required and one.name not in given]
        assert not missing, f"{name} lacks {missing}"


@pytest.mark.parametrize(
    ("page", "words"), LINES, ids=[f"{page}: {' '.join(words)}" for page, words in LINES]
)
def test_a_command_of_a_guide_is_understood(page: str, words: list[str]) -> None:
    understood(PROGRAMS[words[0]], words[0], words[1:])


@pytest.mark.parametrize(
    "line",
    ["emf fly", "emf run --fast x y", "emf node show", "emf-manager ca paint", "emf whoami extra"],
)
def test_a_command_that_does_not_exist_would_be_found(line: str) -> None:
    program, *words = line.split()
    with pytest.raises((click.UsageError, AssertionError)):
        understood(PROGRAMS[program], program, words)


def test_every_guide_is_in_the_navigation_and_leads_on() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    first_page = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")]:
        name = str(page.relative_to(ROOT / "docs"))
        assert f"- {name}\n" in navigation, name
        assert name == "index.md" or f"({name})" in first_page, name
