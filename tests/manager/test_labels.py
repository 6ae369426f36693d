"""Labels: how words change them, and which words are refused."""

from __future__ import annotations

import pytest

from emf_agent.errors import UsageError
from emf_manager.labels import changed

HAS = {"rack": "r1", "ha": "pair1"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param([], HAS, id="nothing"),
        pytest.param(["rack=r2"], {**HAS, "rack": "r2"}, id="another-value"),
        pytest.param(["site/row=A.1_b-", "x=-"], {**HAS, "site/row": "A.1_b-", "x": "-"}, id="new"),
        pytest.param(["ha-"], {"rack": "r1"}, id="gone"),
        pytest.param(["ha-", "ha=pair2"], {"rack": "r1", "ha": "pair2"}, id="in-order"),
    ],
)
def test_words_set_labels_and_take_them_away(words: list[str], expected: dict[str, str]) -> None:
    assert changed(HAS, words) == expected
    assert HAS == {"rack": "r1", "ha": "pair1"}


@pytest.mark.parametrize(
    "word",
    [
        *("rack", "rack=", "=r1", "-rack=r1", "rack-=r1", "a b=c", "rack=a b", "rack=a,b", "-", ""),
        *("rack=r1\n", "räck=r1", "rack=@oss", "rack=r1=r2", "x" * 65 + "=1", "x=" + "1" * 129),
    ],
)
def test_a_word_that_is_neither_is_named(word: str) -> None:
    with pytest.raises(UsageError, match="neither NAME=VALUE nor NAME-"):
        changed(HAS, [word])


def test_what_is_not_there_is_not_taken_away() -> None:
    with pytest.raises(UsageError, match="no label 'row' to take away"):
        changed(HAS, ["row-"])
