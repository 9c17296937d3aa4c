import pytest

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import CredentialRule, Sample
from ringfence.checks.output.credentials import MOST_FINDINGS, RULES, find, scan

BAD = [(rule, sample) for rule in RULES for sample in rule.bad]
GOOD = [(rule, sample) for rule in RULES for sample in rule.good]


def case(pair: tuple[CredentialRule, Sample]) -> str:
    """Name a case after its rule and note."""
    return f"{pair[0].id}: {pair[1].note}"


@pytest.mark.parametrize("pair", BAD, ids=case)
def test_what_must_be_found_is_found(pair: tuple[CredentialRule, Sample]) -> None:
    """Every bad sample is reported under its own rule, and its value is not in the report."""
    rule, sample = pair
    found = [credential for credential in find(sample.text) if credential.rule is rule]
    assert len(found) == 1
    value = rule.pattern.match(sample.text, found[0].start)
    assert value is not None
    assert value.group("value").decode() not in repr(scan(sample.text))


@pytest.mark.parametrize("pair", GOOD, ids=case)
def test_what_is_no_credential_is_not_reported(pair: tuple[CredentialRule, Sample]) -> None:
    """No rule at all reports a good sample."""
    assert scan(pair[1].text) == ()


@pytest.mark.parametrize(
    "before", [b"KEY=", b"?k=", b'"', b"foo\\n", b"\\u0022", b"a%3D", b"\x1b[1m", b"\x1b[31m", b"/"]
)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_what_stands_before_a_credential_does_not_hide_it(
    rule: CredentialRule, before: bytes
) -> None:
    """Assignments, URLs, JSON, percent codes and terminal colours are where credentials stand."""
    sample = rule.bad[0].text
    found = next(found for found in find(sample) if found.rule is rule)
    text = before + sample[found.start : found.end] + b"\\n"
    assert rule.id in [finding.check for finding in scan(text)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_carries_samples(rule: CredentialRule) -> None:
    """Two it must report and two it must not, at least."""
    assert len(rule.bad) >= 2
    assert len(rule.good) >= 2


def test_rule_ids_are_unique() -> None:
    """One id, one rule, one page."""
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_a_right_checksum_makes_a_token_certain() -> None:
    """A token that was altered is reported lower than one whose checksum is right."""
    rule = next(rule for rule in RULES if rule.id == "github-token")
    assert [find(sample.text)[0].severity for sample in rule.bad] == [
        Severity.CRITICAL,
        Severity.CRITICAL,
        Severity.MEDIUM,
    ]


def test_findings_stand_in_the_order_of_their_places() -> None:
    """A reader goes through the output once."""
    text = b"\n".join(sample.text for _, sample in BAD)
    offsets = [finding.where for finding in scan(text)]
    assert offsets == sorted(offsets, key=lambda offset: offset if isinstance(offset, int) else -1)
    assert len(offsets) >= len(BAD)


def test_the_number_of_findings_is_bounded() -> None:
    """An output made of tokens does not become a report without end."""
    rule = next(rule for rule in RULES if rule.id == "github-token")
    assert len(scan((rule.bad[0].text + b"\n") * (MOST_FINDINGS + 50))) == MOST_FINDINGS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_patterns_repeat_only_within_bounds(rule: CredentialRule) -> None:
    """No `*`, no `+` after a class or group, no open repeat: each try costs a bounded time."""
    source = rule.pattern.pattern
    inside, escaped, previous = False, False, b""
    for number in range(len(source)):
        char = source[number : number + 1]
        if escaped:
            escaped, previous = False, b"\\" + char
            continue
        if char == b"\\":
            escaped = True
            continue
        if inside:
            inside = char != b"]"
        elif char == b"[":
            inside = True
        elif char == b"*":
            pytest.fail("open repeat")
        elif char == b"+":
            assert previous == b"}", "only the possessive mark of a bounded repeat"
        elif char == b"}":
            body = source[source.rindex(b"{", 0, number) + 1 : number]
            assert not body.endswith(b","), "open repeat"
        previous = char


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_hostile_input_is_tried_a_bounded_number_of_times(rule: CredentialRule) -> None:
    """Megabytes of almost-matches end (a catastrophic pattern would hang the suite here)."""
    for keyword in rule.keywords:
        for filler in (b"a", b"A7", b"-", b"1", b" ", b"eyJ.", b"x:", b"\\n"):
            scan((keyword + filler * 30) * 2_000)
            scan(keyword * 5_000 + filler * 20_000)
