"""The rules of this room as documentation: one generated page for each id.

Invariants:
1. Every check id a finding can carry has a page, made from the rule and its samples, so that the
   page cannot say something else than the code.
2. A page shows no credential: of what a rule reports only the first letters are printed.
"""

from collections.abc import Iterable

from ringfence.checks.config import secret_in_chain
from ringfence.checks.output import credentials, json_schema
from ringfence.checks.output.credential_rule import CredentialRule

_HEAD = "<!-- Generated from src/ringfence/checks by ringfence.checks.catalogue; do not edit. -->\n"
_SHOWN = 4


def rule_pages() -> dict[str, str]:
    """Give rule id -> text of ``docs/rules/<id>.md``."""
    pages = {rule.id: _credential_page(rule) for rule in credentials.RULES}
    pages[secret_in_chain.CHECK] = _chain_page()
    pages["known-value"] = _known_value_page()
    pages[json_schema.CHECK] = _schema_page()
    return pages


def _page(rule: str, title: str, why: str, fix: str, rest: Iterable[str]) -> str:
    parts = [_HEAD, f"# {rule}: {title}\n", f"{why}\n", f"**Fix:** {fix}.\n", *rest]
    return "\n".join(parts)


def _credential_page(rule: CredentialRule) -> str:
    bad = ((_masked(sample.text, rule), sample.note) for sample in rule.bad)
    good = ((_shown(sample.text), sample.note) for sample in rule.good)
    return _page(rule.id, rule.title, rule.why, rule.fix, _tables(bad, good))


def _chain_page() -> str:
    def row(sample: secret_in_chain.ChainSample, value: str) -> tuple[str, str]:
        path = ".".join(str(part) for part in sample.path)
        return f"{path}: {value}", sample.note

    bad = (row(sample, sample.value[:_SHOWN] + "…") for sample in secret_in_chain.BAD)
    good = (row(sample, _shown(sample.value.encode())) for sample in secret_in_chain.GOOD)
    return _page(
        secret_in_chain.CHECK,
        secret_in_chain.TITLE,
        secret_in_chain.WHY,
        secret_in_chain.FIX,
        _tables(bad, good),
    )


def _known_value_page() -> str:
    return _page(
        "known-value",
        "A secret of the run in an output",
        "An output, transcript or result held a value from the vault in one of its encodings. It "
        "was replaced by `[redacted:NAME]` before anything was stored; that it was there at all "
        "means that something other than the broker could read it.",
        "look at the step's record for how the agent came by the value, and rotate it",
        ["Encodings looked for and known limits: docs/rooms/checks.md.\n"],
    )


def _schema_page() -> str:
    refused = ", ".join(f"`{keyword}`" for keyword in json_schema.REFUSED_KEYWORDS)
    return _page(
        json_schema.CHECK,
        "The output does not fit the agent's outputSchema",
        "The document the agent produced is not strict JSON, or is not what its `outputSchema` "
        "describes. The finding names the place by JSON pointer and the keyword that failed.",
        "correct the agent's prompt, or the schema if it asks for the wrong thing",
        [
            "An `outputSchema` is JSON Schema 2020-12 with these limits:\n",
            (
                f"- at most {json_schema.MAX_SCHEMA_BYTES // 1024} KiB and "
                f"{json_schema.MAX_SCHEMA_DEPTH} levels;"
            ),
            "- `$ref` only inside the schema (`#/…`); `$id` and other dialects are refused;",
            f"- not supported: {refused};",
            (
                "- `pattern` is matched in linear time and takes no look-around, back references, "
                "`\\b`, lazy repeats or Unicode properties;"
            ),
            "- `format` says what is meant and checks nothing.\n",
            (
                f"A document has at most {json_schema.MAX_DOCUMENT_BYTES // 1024} KiB, "
                f"{json_schema.MAX_DOCUMENT_DEPTH} levels, no duplicate keys, no NaN, and needs at "
                f"most {json_schema.MAX_REFERENCES:,} references to be checked.\n"
            ),
        ],
    )


def _tables(bad: Iterable[tuple[str, str]], good: Iterable[tuple[str, str]]) -> list[str]:
    return [
        "Reported (shortened here):\n",
        *(_row(text, note) for text, note in bad),
        "\nNot reported:\n",
        *(_row(text, note) for text, note in good),
        "",
    ]


def _row(text: str, note: str) -> str:
    return f"- `{text}` ({note})"


def _masked(text: bytes, rule: CredentialRule) -> str:
    """Show the text with every credential of the rule cut to its first letters."""
    out = ""
    at = 0
    for credential in (found for found in credentials.find(text) if found.rule is rule):
        match = rule.pattern.match(text, credential.start)
        start, end = match.span("value") if match else (credential.start, credential.end)
        out += text[at : start + _SHOWN].decode() + "…"
        at = end
    return _shown((out + text[at:].decode()).encode())


def _shown(text: bytes) -> str:
    """Write the text on one line, cut in the middle when it is long."""
    line = text.decode().strip().replace("\n", "\\n").replace("`", "'")
    return line if len(line) <= 90 else f"{line[:60]}…{line[-20:]}"
