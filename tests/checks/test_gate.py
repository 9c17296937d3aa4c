import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError
from ringfence.checks.finding import Severity
from ringfence.checks.gate import CHECK_NAMES, MAX_ISSUES, Verdict, check_names, judge, read_verdict
from ringfence.checks.output.scrub import KnownValue, Scrubber

VALUE = b"9f8e7d6c5b4a-hidden"
SCRUBBER = Scrubber([KnownValue(name="DB", value=VALUE)])
LOW = {"type": "style", "description": "long line", "severity": "low"}


def answer(value: object) -> Verdict:
    """Read a verdict given as a value."""
    return read_verdict(json.dumps(value).encode())


def test_a_plain_pass_passes() -> None:
    """The exact form, no issues or small ones."""
    assert answer({"passed": True, "issues": []}) == Verdict(passed=True)
    verdict = answer({"passed": True, "issues": [LOW]})
    assert verdict.passed
    assert verdict.issues[0].severity is Severity.LOW


def test_a_plain_failure_keeps_its_issues() -> None:
    """The person who reviews sees what the gate found."""
    verdict = answer({"passed": False, "issues": [{**LOW, "severity": "critical"}]})
    assert not verdict.passed
    assert verdict.to_json() == {"passed": False, "issues": [{**LOW, "severity": "critical"}]}


@pytest.mark.parametrize("severity", ["high", "critical"])
def test_a_pass_with_a_serious_issue_fails(severity: str) -> None:
    """A gate that contradicts itself was talked into something."""
    verdict = answer({"passed": True, "issues": [{**LOW, "severity": severity}]})
    assert not verdict.passed
    assert verdict.issues[0].type == "contradictory-verdict"
    assert len(verdict.issues) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"passed",
        b"true",
        b"[]",
        b"{}",
        b'{"passed":true}',
        b'{"issues":[]}',
        b'{"passed":"true","issues":[]}',
        b'{"passed":1,"issues":[]}',
        b'{"passed":null,"issues":[]}',
        b'{"passed":true,"issues":{}}',
        b'{"passed":true,"issues":[1]}',
        b'{"passed":true,"issues":[{"type":"a"}]}',
        b'{"passed":true,"issues":[{"type":"a","description":"b","severity":"HIGH"}]}',
        b'{"passed":true,"issues":[{"type":"a","description":"b","severity":[]}]}',
        b'{"passed":true,"issues":[],"override":true}',
        b'{"passed":false,"passed":true,"issues":[]}',
        b'Sure! {"passed":true,"issues":[]}',
        b'{"passed":true,"issues":[]} thanks',
        b'```json\n{"passed":true,"issues":[]}\n```',
        b'\xff{"passed":true,"issues":[]}',
    ],
)
def test_anything_else_fails_and_says_why(data: bytes) -> None:
    """Missing, misspelt, doubled or decorated answers are not a pass."""
    verdict = read_verdict(data)
    assert not verdict.passed
    assert verdict.issues[0].type == "malformed-verdict"
    assert verdict.issues[0].description


def test_more_issues_than_anybody_reads_fail() -> None:
    """The verdict is bounded."""
    assert not answer({"passed": True, "issues": [LOW] * (MAX_ISSUES + 1)}).passed


def test_what_the_gate_wrote_is_cut_and_cleaned() -> None:
    """No escape sequence or bidi control reaches a reviewer's screen."""
    text = "a\x1b[31m\nb\u202ec" + "d" * 5_000
    issue = answer({"passed": False, "issues": [{**LOW, "description": text}]}).issues[0]
    assert issue.description.startswith("a [31m b c")
    assert len(issue.description) <= 1_000


@given(st.binary(max_size=100))
def test_no_bytes_raise_and_none_pass_by_accident(data: bytes) -> None:
    """Reading is total."""
    read_verdict(data)


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=5), st.lists, max_leaves=5))
def test_only_an_exact_verdict_passes(value: object) -> None:
    """Any other value in place of the verdict or of `passed` fails."""
    assert not answer(value).passed
    assert answer({"passed": value, "issues": []}).passed is (value is True)


def test_secrets_in_an_input_fail_the_gate() -> None:
    """The issue names input and kind, not the value."""
    token = b"AKIA" + b"Z3MRQ6TXW2NB5VKD"
    verdict = judge({"notes.md": b"id " + token}, ["secrets"], scrubber=SCRUBBER)
    assert not verdict.passed
    assert verdict.issues[0].type == "aws-access-key"
    assert verdict.issues[0].description.startswith("notes.md: ")
    assert token.decode() not in repr(verdict)


def test_known_values_in_an_input_fail_the_gate() -> None:
    """Also when they are encoded."""
    data = VALUE.hex().encode()
    verdict = judge({"a": data}, ["known-values"], scrubber=SCRUBBER)
    assert [issue.type for issue in verdict.issues] == ["known-value"]
    assert judge({"a": data}, ["secrets"], scrubber=SCRUBBER).passed


def test_a_document_that_does_not_fit_fails_the_gate() -> None:
    """Every input has to fit the schema."""
    schema = {"type": "object"}
    fits = judge({"a": b"{}"}, ["schema"], scrubber=SCRUBBER, schema=schema)
    fails = judge({"a": b"{}", "b": b"[]"}, ["schema"], scrubber=SCRUBBER, schema=schema)
    assert fits.passed
    assert [issue.description for issue in fails.issues] == ["b: expected type object (at the top)"]


def test_clean_inputs_pass_all_checks() -> None:
    """Nothing found, nothing held."""
    verdict = judge({"a": b"{}"}, CHECK_NAMES, scrubber=SCRUBBER, schema={"type": "object"})
    assert verdict == Verdict(passed=True)


@pytest.mark.parametrize(
    ("inputs", "checks"), [({}, ["secrets"]), ({"a": b""}, []), ({"a": b"{}"}, ["schema"])]
)
def test_a_gate_that_checked_nothing_fails(inputs: dict[str, bytes], checks: list[str]) -> None:
    """No input, no check or no schema is not a pass."""
    verdict = judge(inputs, checks, scrubber=SCRUBBER)
    assert not verdict.passed
    assert verdict.issues[0].type == "nothing-checked"


def test_an_unknown_check_names_the_nearest() -> None:
    """A misspelt check must not silently check nothing."""
    with pytest.raises(InputError, match="no check 'secret'") as caught:
        check_names(["secrets", "secret"])
    assert caught.value.hint == "did you mean 'secrets'?"
    with pytest.raises(InputError) as caught:
        check_names(["zzz"])
    assert "known-values, schema, secrets" in caught.value.hint
