"""Foreign output: bounded, decoded, made harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.command import Completed, Output, OutputTruncatedError
from emf_agent.command.output import Keeper, LineSplitter, Redaction, visible

CHUNKS = st.lists(st.binary(max_size=64), max_size=60)


@given(chunks=CHUNKS, limit=st.integers(1, 100))
def test_head_tail_and_count_add_up_to_what_was_written(chunks: list[bytes], limit: int) -> None:
    keeper = Keeper(limit)
    for chunk in chunks:
        keeper.add(chunk)
    whole = b"".join(chunks)
    output = keeper.output(Redaction())

    assert output.size_bytes == len(whole)
    assert output.head == whole[:limit]
    assert len(output.tail) <= limit
    assert whole.endswith(output.tail)
    if not output.omitted:
        assert output.raw == whole


def test_an_endless_stream_takes_bounded_memory() -> None:
    keeper = Keeper(1000)
    for _ in range(10_000):
        keeper.add(b"y\n" * 500)
        assert len(keeper._tail) <= 2 * 1000 + 4096 + 1000
    assert keeper.output(Redaction()).omitted == 10_000 * 1000 - 2000


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"plain\ttext\r\n", "plain\ttext\r\n", id="tab, newline and return stay"),
        pytest.param(b"a\0b", r"a\x00b", id="NUL"),
        pytest.param(b"\x1b[31mred", r"\x1b[31mred", id="terminal escape"),
        pytest.param("\u009b31m".encode(), r"\x9b31m", id="8-bit escape"),
        pytest.param("\u202eexe".encode(), r"\u202eexe", id="text direction"),
        pytest.param(b"\xff\xfe", "\ufffd\ufffd", id="no UTF-8"),
        pytest.param("größe ✓".encode(), "größe ✓", id="UTF-8"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(data: bytes, text: str) -> None:
    assert visible(data) == text


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"\n", [""], id="one empty line"),
        pytest.param(b"a\nb", ["a", "b"], id="last line without end"),
        pytest.param(b"a\r\n\r\nb\n", ["a", "", "b"], id="returns and an empty line"),
    ],
)
def test_lines_come_without_their_ends(data: bytes, lines: list[str]) -> None:
    assert Output(head=data).lines() == lines


def test_half_an_output_is_never_given_to_a_parser() -> None:
    output = Output(head=b"a", tail=b"b", omitted=7)
    with pytest.raises(OutputTruncatedError, match="7 bytes in the middle"):
        _ = output.text
    assert output.shown == "a\n[... 7 bytes left out ...]\nb"


@given(chunks=CHUNKS, limit=st.integers(1, 20))
def test_lines_are_the_same_however_the_stream_is_cut_into_pieces(
    chunks: list[bytes], limit: int
) -> None:
    splitter = LineSplitter(limit)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    lines += splitter.finish()

    whole = b"".join(chunks).split(b"\n")
    expected = [line[:limit].removesuffix(b"\r") for line in whole[:-1]]
    if whole[-1]:
        expected.append(whole[-1][:limit].removesuffix(b"\r"))
    assert lines == expected
    assert splitter.cut_lines == sum(len(line) > limit for line in whole)


@pytest.mark.parametrize(
    ("secrets", "text", "shown"),
    [
        pytest.param(["hunter2"], "pw=hunter2;", "pw=***;", id="inside a word"),
        pytest.param(["ab", "abcd"], "abcd ab", "*** ***", id="the longer one first"),
        pytest.param(["", "x1"], "a", "a", id="an empty secret hides nothing"),
        pytest.param(
            ["-----KEY-----\nMIIEvQIBADAN\n"], "line MIIEvQIBADAN", "line ***", id="a key's line"
        ),
    ],
)
def test_secrets_are_hidden(secrets: list[str], text: str, shown: str) -> None:
    assert Redaction(secrets)(text) == shown


def test_half_a_secret_at_the_edge_of_a_gap_is_not_shown() -> None:
    keeper = Keeper(16)
    keeper.add(b"password: hunter2-and-much-more-of-it, then hunter2")
    shown = keeper.output(Redaction(["hunter2-and-much"])).shown
    assert "hunter" not in shown.split("[...")[0]


def test_an_excerpt_fits_an_error() -> None:
    assert len(Output(head=b"x" * 60_000).excerpt(1000)) < 1100


@pytest.mark.parametrize(("returncode", "status"), [(2, "exit code: 2"), (-9, "signal: 9")])
def test_a_status_reads_as_the_ancestor_wrote_it(returncode: int, status: str) -> None:
    assert Completed(("x",), returncode, Output(), Output(), 0.1).status == status
