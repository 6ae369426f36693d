"""From the text of a plan to its values: every fault at once, with its line; nothing clever."""

from __future__ import annotations

from contextlib import suppress
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_manager.plans import expressions as x
from emf_manager.plans.document import read_plan
from emf_manager.plans.values import Plan
from emf_manager.plans.yaml_tree import FaultsError, plain, read_yaml

OPTIONS = ("timeout_s", "expires_s", "dry_run", "facts", "batch")

WHOLE = """\
version: 1
name: rolling restart
vars:
  unit: lnet.service
  nodes: oss[01-02]
timeout: 1h
jobs:
  look:
    nodes: mds01
    steps:
      - id: seen
        action: package_version
        args: lustre
        outputs: {version: result.version}
  restart:
    needs: look
    nodes: ${{ vars.nodes }}
    timeout: 10m
    batch: 50%
    steps:
      - name: Restart it
        action: restart_unit
        args: {unit: "${{ vars.unit }}", note: "was ${{ jobs.look.steps.seen.outputs.version }}"}
        timeout: 30s
      - action: log
        when: always
        exclude: oss02
        continue_on_error: true
        args: ["${{ steps.step1.nodes[\\"oss01.example.com\\"].result }}", yes, 0o17, 12:30]
"""


def read(text: str, **given: Any) -> Plan:
    return read_plan(dedent(text), options=OPTIONS, given=given)


def faults(text: str, **given: Any) -> list[str]:
    with pytest.raises(FaultsError) as caught:
        read(text, **given)
    return [f"{each.mark.line}: {each.message}" for each in caught.value.faults]


JOBS = "jobs: {a: {nodes: oss01, steps: [{action: x}]}}"


def one_step(step: str, top: str = "") -> str:
    return f"version: 1\n{top}jobs:\n  a:\n    nodes: oss01\n    steps:\n      - {step}\n"


def test_a_document_becomes_jobs_with_steps_and_defaults() -> None:
    plan = read(WHOLE)

    assert (plan.name, plan.timeout_s) == ("rolling restart", 3600.0)
    first, second = plan.jobs["restart"].steps
    assert list(plan.jobs["restart"].needs) == ["look"]
    assert plan.jobs["restart"].timeout_s == 600.0
    assert first.nodes == x.Known("oss[01-02]")
    assert first.options == {"batch": "50%", "timeout_s": 30.0}
    assert (second.id, second.when, second.continue_on_error) == ("step2", "always", True)
    assert second.exclude == x.Known("oss02")
    assert plan.jobs["look"].steps[0].outputs == {"version": ("result", "version")}


def test_texts_that_older_yaml_took_for_something_else_stay_texts() -> None:
    args = read(WHOLE).jobs["restart"].steps[1].args

    assert isinstance(args, x.Several)
    assert args.items[1:] == (x.Known("yes"), x.Known(15), x.Known("12:30"))


def test_variables_can_be_given_from_outside_and_are_values_never_templates() -> None:
    plan = read(WHOLE, unit="${{ vars.nodes }}")
    args = plan.jobs["restart"].steps[0].args

    assert isinstance(args, x.ToNamed)
    assert args.members["unit"] == x.Known("${{ vars.nodes }}")


def test_a_whole_value_keeps_its_type_and_a_text_takes_the_words() -> None:
    plan = read(
        one_step(
            'args: {n: "${{ vars.n }}", t: "n=${{ vars.n }}", f: "$${{ x }}"}\n        action: act',
            "vars: {n: 3}\n",
        )
    )

    args = plan.jobs["a"].steps[0].args
    assert x.fill(args, no_look) == {"n": 3, "t": "n=3", "f": "${{ x }}"}


def no_look(path: x.Path) -> Any:
    raise AssertionError(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "1: the document is empty", id="empty"),
        pytest.param("[1]", "1: expected a mapping", id="list"),
        pytest.param("a: [", "not YAML", id="broken"),
        pytest.param("version: 1\nversion: 1", "the key 'version' is here twice", id="twice"),
        pytest.param("a: &x 1\nb: *x", "2: the alias *x is not taken", id="alias"),
        pytest.param("a: &x 1", "1: the anchor &x is not taken", id="anchor"),
        pytest.param("a: !!python/object:os.system x", "the tag", id="tag"),
        pytest.param("<<: {a: 1}", "the merge key", id="merge"),
        pytest.param("a: 1\n---\nb: 1", "a second document begins", id="two documents"),
        pytest.param("a: .nan", "no number that can be sent", id="nan"),
        pytest.param("a: 1e999", "too large a number", id="infinite"),
        pytest.param(f"a: {'9' * 40}", "more than 18 digits", id="digits"),
        pytest.param("? [a]\n: 1", "a key must be a word", id="key"),
        pytest.param("a: \x07", "1: the character U+0007 is not allowed", id="control"),
        pytest.param("a: \ud800", "U+D800", id="surrogate"),
        pytest.param("[" * 40, "nested deeper than 32", id="deep"),
        pytest.param("[" * 100_000, "nest", id="deepest"),
        pytest.param("- {a: 1}\n" * 20_000, "more than 20000 values", id="many"),
        pytest.param("a" * 300_000, "larger than 256 KiB", id="large"),
        pytest.param("version: 2\njobs: {}", "this manager reads version 1", id="version"),
        pytest.param("version: true\njobs: {}", "this manager reads version 1", id="true"),
        pytest.param("version: 1\njobs: {}", "there is no job", id="no job"),
        pytest.param("version: 1", "'jobs' is missing", id="no jobs"),
        pytest.param("version: 1\nname: 3\njobs: {}", "2: name: expected a text", id="name"),
        pytest.param("version: 1\njobs: []", "jobs: expected a mapping", id="jobs"),
        pytest.param("version: 1\njobs: {a: 3}", "jobs.a: expected a mapping", id="job"),
        pytest.param("version: 1\njobs: {a b: {steps: []}}", "a job is named with", id="job name"),
        pytest.param("version: 1\njobs: {a: {steps: []}}", "at least one step", id="no step"),
        pytest.param("version: 1\nvars: {x: }\njobs: {}", "give one with -e x=", id="no value"),
        pytest.param(one_step("{}"), "'action' is missing", id="no action"),
        pytest.param(one_step("3"), "6: jobs.a.steps[0]: expected a mapping", id="step"),
        pytest.param(one_step("{action: x, with: 1}"), "did you mean args?", id="with"),
        pytest.param(one_step("{action: x, tiemout: 1}"), "did you mean timeout?", id="key typo"),
        pytest.param(one_step("{action: x, timeout: -1}"), "expected a duration", id="timeout"),
        pytest.param(one_step("{action: x, timeout: []}"), "expected a duration", id="duration"),
        pytest.param(one_step("{action: x, timeout: 9999d}"), "up to 366d", id="too long"),
        pytest.param(one_step("{action: x, id: a b}"), "a step is named with", id="id"),
        pytest.param(one_step("{action: x, when: maybe}"), "expected success, failure", id="when"),
        pytest.param(one_step("{action: x, continue_on_error: 1}"), "true or false", id="flag"),
        pytest.param(one_step('{action: x, args: "${{ 1+1 }}"}'), "is not a path", id="code"),
        pytest.param(one_step('{action: x, args: "${{ vars.x"}'), "without }}", id="unclosed"),
        pytest.param(one_step('{action: x, args: "${{ vars.x }}"}'), "no variable 'x'", id="var"),
        pytest.param(one_step('{action: x, args: "${{ env.x }}"}'), "leads nowhere", id="root"),
        pytest.param(one_step('{action: "${{ steps.a.ok }}"}'), "only ${{ vars.", id="action"),
        pytest.param(one_step("{action: x, outputs: {v: 3}}"), "expected a path below", id="out"),
        pytest.param(one_step("{action: x, outputs: {v: stdout}}"), "a step has result", id="rest"),
        pytest.param("version: 1\njobs: {a: {steps: [{action: x}]}}", "no nodes", id="no nodes"),
    ],
)
def test_a_fault_is_told_with_its_line(text: str, told: str) -> None:
    assert any(told in each for each in faults(text)), faults(text)


def test_every_fault_is_told_at_once_in_the_order_of_the_lines() -> None:
    found = faults(
        """\
        version: 1
        tymeout: 3
        jobs:
          a:
            needs: [b, zz]
            nodes: oss01
            steps:
              - {id: one, action: x, args: "${{ steps.two.result }}"}
              - {id: two, action: x, args: "${{ jobs.c.steps.one.result }}"}
              - {id: two, action: x, args: "${{ steps.tow.result }}"}
          b: {needs: a, nodes: oss01, steps: [{action: x}]}
          c: {nodes: oss01, steps: [{id: one, action: x, args: "${{ steps.none.ok }}"}]}
        """
    )

    assert found == [
        "2: tymeout: there is no such key; did you mean timeout?",
        "5: jobs.a.needs: jobs need each other in a circle: a → b → a",
        "5: jobs.a.needs: there is no job 'zz'",
        "8: jobs.a.steps[0].args: steps.two.result: step two does not come before this one",
        "9: jobs.a.steps[1].args: jobs.c.steps.one.result: job a does not need c; add it to needs",
        "10: jobs.a.steps[2].id: the step of line 9 is called 'two' too",
        "12: jobs.c.steps[0].args: steps.none.ok: there is no step 'none' before this one",
    ]


def test_a_variable_nobody_declared_is_not_taken() -> None:
    assert faults(one_step("{action: x}", "vars: {unit: a}\n"), unti="b") == [
        "1: vars: 'unti' was given; did you mean unit?"
    ]


def test_a_hundred_jobs_that_all_need_each_other_are_one_fault_and_quickly_told() -> None:
    jobs = {f"j{n}": [f"j{k}" for k in range(100)] for n in range(100)}
    text = "version: 1\njobs:\n" + "".join(
        f"  {name}: {{needs: {needs}, nodes: a, steps: [{{action: x}}]}}\n"
        for name, needs in jobs.items()
    )

    assert all("circle" in each for each in faults(text))


@pytest.mark.slow("a quarter of a MiB of YAML is read four times")
def test_what_a_few_letters_would_make_huge_is_refused() -> None:
    """Each of these took minutes, or gigabytes: one request of an operator was enough."""
    openings = one_step(f"{{action: x, args: '{'${{ ' * 60_000}'}}")
    named = one_step(f"{{action: x, args: '{'${{vars.v}}' * 20_000}'}}", "vars: {v: a}\n")
    items = f"[{', '.join(['a'] * 10_000)}]"
    mentions = ", ".join(['"${{ vars.v }}"'] * 8_000)
    listed = one_step(f"{{action: x, args: [{mentions}]}}", f"vars: {{v: {items}}}\n")
    steps = "      - {action: x}\n" * 400
    shared = f"version: 1\njobs:\n  a:\n    nodes: {items}\n    steps:\n{steps}"

    assert any("without }}" in each for each in faults(openings))
    assert any("come to more than" in each for each in faults(named, v="a" * 900_000))
    assert any("come to more than" in each for each in faults(listed))
    assert any("what its steps share" in each for each in faults(shared))


def test_no_more_faults_are_looked_for_than_anybody_reads() -> None:
    assert len(faults("".join(f"key{number}: 1\n" for number in range(9_000)))) == 200
    variables = ", ".join(f"v{number}: 1" for number in range(300))
    assert faults(f"version: 1\nvars: {{{variables}}}\n{JOBS}") == [
        "2: vars: a plan may have 200 variables"
    ]


def test_a_step_cannot_be_filled_with_more_than_a_request_could_carry() -> None:
    template = x.compile_template(["${{ a }}", "${{ a }}"], lambda where, why: None)

    assert x.fill(template, x.Bounded(lambda path: "b" * 10, 30)) == ["b" * 10, "b" * 10]
    with pytest.raises(x.MissingError, match="with a the values"):
        x.fill(template, x.Bounded(lambda path: ["b" * 10, {"c": 1}], 20))


def test_a_mapping_cannot_stand_inside_a_text_beside_what_only_the_run_tells() -> None:
    mixed = """{action: x, args: "${{ vars.m }} ${{ steps.s.result }}"}"""
    text = one_step(mixed, "vars: {m: {a: 1}}\n").replace("- {", "- {id: s, action: y}\n      - {")

    assert any("cannot stand inside a text" in each for each in faults(text))


def test_a_path_digs_into_a_result_and_says_where_it_ends() -> None:
    value: Any = {"a": [{"b c": 1}]}

    assert x.dig(value, x.read_path('a[0]["b c"]'), "result") == 1
    with pytest.raises(x.MissingError, match=r"result\.a has 1 items, so there is no \[2\]"):
        x.dig(value, x.read_path("a[2]"), "result")
    with pytest.raises(x.MissingError, match=r"result\.a\[0\] has no member 'z'"):
        x.dig(value, x.read_path("a[0].z"), "result")
    with pytest.raises(x.MissingError, match=r"is a number and has no \.z"):
        x.dig(value, x.read_path('a[0]["b c"].z'), "result")


@given(st.text(max_size=300))
def test_no_text_does_more_than_be_read_or_refused(text: str) -> None:
    with suppress(FaultsError):
        plain(read_yaml(text))


@given(st.text(alphabet="${}.[]\"' abjobsteps0123\n:-{,", max_size=200))
def test_no_path_does_more_than_be_read_or_refused(text: str) -> None:
    with suppress(x.BadPathError):
        x.compile_text(text)
