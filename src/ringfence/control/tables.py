"""A run as plain tables: what the command line prints after a run and for ``runs show``.

Invariants:
1. Every cell is text that `visible` has passed: safe for a terminal, one line each.
2. First how it ended, what was blocked and what waits for a person; then the details.
"""

from dataclasses import dataclass
from datetime import datetime

from ringfence.control.view import DecisionView, RunView
from ringfence.control.visible import visible

CELL = 200
"""Characters of one cell; the report shows more."""
MOST_ROWS = 100
"""Rows of one table; a flood of refusals must not scroll the outcome away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled table; ``left_out`` rows did not fit."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCount:
    """How often one rule refused, which agents, and the first thing it refused."""

    rule: str
    times: int
    agents: tuple[str, ...]
    example: str


def by_rule(view: RunView) -> tuple[RuleCount, ...]:
    """Give the refusals by rule, most frequent first: few lines, however many an agent causes."""
    groups: dict[str, list[DecisionView]] = {}
    for denied in view.denied:
        groups.setdefault(denied.rule or denied.event, []).append(denied)
    counts = [
        RuleCount(
            rule=rule,
            times=sum(d.times for d in group),
            agents=tuple(dict.fromkeys(d.agent for d in group if d.agent is not None)),
            example=group[0].subject or group[0].event,
        )
        for rule, group in groups.items()
    ]
    return tuple(sorted(counts, key=lambda count: -count.times))


def summary_rows(view: RunView) -> tuple[tuple[str, str], ...]:
    """Give label and value of everything that fits in a screenful about a run."""
    rows = [
        ("run", view.run),
        ("chain", view.chain or "not on the record"),
        ("outcome", outcome_text(view)),
        ("blocked", blocked_text(view)),
        ("waiting", waiting_text(view)),
        ("started", f"{moment(view.started)} by {view.starter or 'unknown'}"),
        ("took", duration(view.ms)),
        ("requests", requests_text(view)),
        ("record", record_text(view)),
    ]
    rows += [("weaker", f"{n.event}: {n.text}") for n in view.notices if n.weaker]
    if view.unshown:
        rows.append(("not shown", f"{len(view.unshown)} records this version cannot place"))
    return tuple((label, visible(value, limit=CELL)) for label, value in rows)


def run_tables(view: RunView) -> tuple[Table, ...]:
    """Give the tables that are not empty: what waits, what was blocked, steps, findings."""
    tables = (
        _table(
            "Waiting for a person",
            ("review", "what", "asked by", "expires"),
            [(r.id, r.title or r.kind or "", r.asked_by or "", r.expires or "")
             for r in view.open_reviews],
        ),
        _table(
            "Blocked",
            ("agent", "what", "rule", "why", "where", "times"),
            [_decision(d) for d in view.denied],
        ),
        _table(
            "Blocked, by rule",
            ("rule", "times", "agents", "for example"),
            [(c.rule, str(c.times), ", ".join(c.agents), c.example) for c in by_rule(view)],
        ),
        _table(
            "Steps",
            ("agent", "attempt", "status", "exit", "took"),
            [
                (
                    agent.name,
                    "" if step.attempt is None else str(step.attempt),
                    step.status or "not finished",
                    "" if step.exit_code is None else str(step.exit_code),
                    duration(step.ms),
                )
                for agent in view.agents
                for step in agent.steps
            ],
        ),
        _table(
            "Findings",
            ("severity", "agent", "check", "message"),
            [(f.severity, f.agent or "", f.check, f.message) for f in view.findings],
        ),
    )  # fmt: skip
    return tuple(table for table in tables if table.rows)


def outcome_text(view: RunView) -> str:
    """Give how the run stands in words, the recorded status where the word is not ours."""
    if view.outcome == "unknown":
        return f'ended as "{view.status}"'
    if view.outcome == "unfinished":
        return "no end on the record"
    return "waiting for review" if view.outcome == "waiting" else view.outcome.value


def blocked_text(view: RunView) -> str:
    """Give the number of refusals and how many different ones they were."""
    if not view.denied:
        return "nothing"
    kinds = len(view.denied)
    return f"{view.blocked} refused" + (f", {kinds} different" if kinds != view.blocked else "")


def waiting_text(view: RunView) -> str:
    """Give what only a person can move on."""
    parts = []
    if view.open_reviews:
        parts.append(counted(len(view.open_reviews), "review"))
    if view.held:
        parts.append(counted(len(view.held), "held change"))
    return ", ".join(parts) or "nothing"


def requests_text(view: RunView) -> str:
    """Give the number of requests to the outside, allowed and refused."""
    allowed = sum(1 for request in view.egress if request.allowed)
    return f"{allowed} allowed, {len(view.egress) - allowed} refused"


def record_text(view: RunView) -> str:
    """Give the range on the log and whether the log verifies."""
    if view.first is None:
        return "no records"
    span = f"{counted(view.records, 'record')}, {view.first} to {view.last}"
    check = view.verification
    if check is None:
        return f"{span}, not checked"
    if check.ok:
        return f"{span}, log of {check.size} verifies"
    place = "" if check.first_bad is None else f" at {check.first_bad}"
    return f"{span}, DOES NOT VERIFY{place}: {check.reason or 'no reason given'}"


def moment(time: datetime | None) -> str:
    """Give a time to the second, in the zone it was recorded in."""
    return "unknown" if time is None else time.strftime("%Y-%m-%d %H:%M:%S %Z").strip()


def duration(ms: int | None) -> str:
    """Give a span as a person says it."""
    if ms is None:
        return "unknown"
    if abs(ms) < 1_000:
        return f"{ms} ms"
    seconds, rest = divmod(ms, 1_000)
    if seconds < 60:
        return f"{seconds}.{rest // 100} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def size(count: int | None) -> str:
    """Give a number of bytes as a person says it."""
    if count is None:
        return "unknown"
    if count < 1_024:
        return f"{count} B"
    value, unit = count / 1_024, "KiB"
    for larger in ("MiB", "GiB"):
        if value >= 1_024:
            value, unit = value / 1_024, larger
    return f"{value:.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """Give a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _decision(decision: DecisionView) -> tuple[str, ...]:
    return (
        decision.agent or "",
        f"{decision.event} {decision.subject or ''}".strip(),
        decision.rule or "",
        decision.reason or "",
        decision.where or "",
        str(decision.times),
    )


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    kept = tuple(tuple(visible(cell, limit=CELL) for cell in row) for row in rows[:MOST_ROWS])
    return Table(title=title, columns=columns, rows=kept, left_out=max(0, len(rows) - MOST_ROWS))
