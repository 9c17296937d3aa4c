"""Gates: read the verdict of a gate agent strictly, and judge outputs without any agent.

Invariants:
1. A verdict passes only if it says so in the exact form; anything else is a failed verdict with
   an issue that says why. Reading never raises.
2. A verdict that passes and names a high or critical issue contradicts itself and fails.
3. Naming an unknown check is a mistake of the chain's author, found before a run starts.
4. What a gate agent wrote is data: descriptions are cut, and control characters taken out.
"""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ringfence.chain.errors import InputError
from ringfence.chain.words import Json
from ringfence.checks.finding import Finding, Severity
from ringfence.checks.output import credentials, json_schema
from ringfence.checks.output.scrub import Scrubber
from ringfence.checks.strict_json import NotStrictJson, read_json

CHECK_NAMES = ("known-values", "schema", "secrets")

MAX_VERDICT_BYTES = 256 * 1024
MAX_ISSUES = 100
LONGEST_TYPE = 64
LONGEST_DESCRIPTION = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One thing a gate found."""

    type: str
    description: str
    severity: Severity

    def to_json(self) -> dict[str, Json]:
        """Give the issue in the form the verdict file and the record use."""
        return {
            "type": self.type,
            "description": self.description,
            "severity": self.severity.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of a gate."""

    passed: bool
    issues: tuple[Issue, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Give the verdict in the form `read_verdict` reads."""
        return {"passed": self.passed, "issues": [issue.to_json() for issue in self.issues]}


def check_names(names: Sequence[str]) -> None:
    """Make sure that every named check exists. Raises InputError with the nearest name."""
    for name in names:
        if name not in CHECK_NAMES:
            near = difflib.get_close_matches(name, CHECK_NAMES, n=1)
            known = ", ".join(CHECK_NAMES)
            raise InputError(
                "unknown-check",
                f"there is no check {name[:LONGEST_TYPE]!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"checks are: {known}",
            )


def read_verdict(data: bytes) -> Verdict:
    """Read what a gate agent answered: ``{"passed": bool, "issues": [{type, description,
    severity}]}`` and nothing else. Never raises.
    """  # noqa: D205 - the shape does not fit one line
    try:
        value = read_json(data, max_bytes=MAX_VERDICT_BYTES, max_depth=8)
        passed, issues = _verdict(value)
    except NotStrictJson as error:
        return _failed("malformed-verdict", f"the gate's answer cannot be used: {error}")
    serious = [issue for issue in issues if issue.severity.at_least(Severity.HIGH)]
    if passed and serious:
        why = f"passed, but names {len(serious)} issue(s) of high or critical severity"
        return Verdict(passed=False, issues=(_issue("contradictory-verdict", why), *issues))
    return Verdict(passed=passed, issues=issues)


def judge(
    inputs: Mapping[str, bytes],
    checks: Sequence[str],
    *,
    scrubber: Scrubber,
    schema: Mapping[str, Json] | None = None,
) -> Verdict:
    """Apply the named checks to every input; any finding fails the gate.

    Without an input or a check there is nothing that could have passed, so the gate fails.
    Raises InputError for an unknown check or a schema that cannot be used.
    """
    check_names(checks)
    if not checks:
        return _failed("nothing-checked", "the gate names no check")
    if not inputs:
        return _failed("nothing-checked", "there was no input to check")
    issues: list[Issue] = []
    for check in checks:
        if check == "schema" and schema is None:
            issues.append(_issue("nothing-checked", "there is no outputSchema to check against"))
            continue
        for name, data in inputs.items():
            for finding in _apply(check, data, scrubber, schema or {}):
                text = _clean(f"{name}: {finding.message}", LONGEST_DESCRIPTION)
                issues.append(
                    Issue(type=finding.check, description=text, severity=finding.severity)
                )
    return Verdict(passed=not issues, issues=tuple(issues[:MAX_ISSUES]))


def _apply(
    check: str, data: bytes, scrubber: Scrubber, schema: Mapping[str, Json]
) -> tuple[Finding, ...]:
    match check:
        case "secrets":
            return credentials.scan(data)
        case "known-values":
            return scrubber.scrub(data).findings
        case _:  # `check_names` let only "schema" come here
            return json_schema.validate(data, schema)


def _verdict(value: Json) -> tuple[bool, tuple[Issue, ...]]:
    if not isinstance(value, dict):
        raise NotStrictJson("it is not an object")
    _only(value, ("passed", "issues"), "the verdict")
    passed, issues = value.get("passed"), value.get("issues")
    if not isinstance(passed, bool):
        raise NotStrictJson('"passed" is not true or false')
    if not isinstance(issues, list):
        raise NotStrictJson('"issues" is not a list')
    if len(issues) > MAX_ISSUES:
        raise NotStrictJson(f"more than {MAX_ISSUES} issues")
    return passed, tuple(_read_issue(issue) for issue in issues)


def _read_issue(value: Json) -> Issue:
    if not isinstance(value, dict):
        raise NotStrictJson("an issue is not an object")
    _only(value, ("type", "description", "severity"), "an issue")
    kind, description, severity = (value.get(key) for key in ("type", "description", "severity"))
    if not (isinstance(kind, str) and isinstance(description, str)):
        raise NotStrictJson("an issue has no type or no description")
    if severity not in tuple(Severity):
        raise NotStrictJson("an issue's severity is not low, medium, high or critical")
    return Issue(
        type=_clean(kind, LONGEST_TYPE),
        description=_clean(description, LONGEST_DESCRIPTION),
        severity=Severity(str(severity)),
    )


def _only(value: dict[str, Json], keys: tuple[str, ...], what: str) -> None:
    if not set(value) <= set(keys):
        raise NotStrictJson(f"{what} has a member other than {', '.join(keys)}")


def _clean(text: str, most: int) -> str:
    """Give one line without control, format (bidi, zero width) and unassigned characters."""
    line = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text[:most])
    return " ".join(line.split())


def _issue(kind: str, why: str) -> Issue:
    return Issue(type=kind, description=why, severity=Severity.HIGH)


def _failed(kind: str, why: str) -> Verdict:
    return Verdict(passed=False, issues=(_issue(kind, why),))
