"""What a replay found, as records and as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ringfence.chain.words import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackResult:
    """One attack: whether it worked without the guard and with it, and what the record says."""

    name: str
    off: bool
    on: bool | None = None
    rule: str = ""
    reason: str = ""

    @property
    def held(self) -> bool:
        """Say whether the guard made the difference."""
        return self.off and self.on is False


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One common criterion of the guarded half, C1 to C6, with what was found.

    A slow machine is no leak: what does not ``decide`` is shown and fails nothing.
    """

    name: str
    met: bool
    note: str = ""
    decides: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardOff:
    """The unguarded half: the attacks that worked, which is all of them, or there is no proof."""

    scenario: str
    attacks: tuple[AttackResult, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """Both halves of one replay."""

    scenario: str
    title: str
    run: str
    exit: int
    attacks: tuple[AttackResult, ...]
    criteria: tuple[Criterion, ...]
    seconds: float
    report: str = ""
    verified: bool = False

    @property
    def passed(self) -> bool:
        """Say whether every attack was held and every criterion met."""
        return all(a.held for a in self.attacks) and all(c.met for c in self.criteria if c.decides)

    def failures(self) -> list[str]:
        """Give what went wrong, one line each."""
        lines = [f"attack not held: {attack.name}" for attack in self.attacks if not attack.held]
        return lines + [f"{c.name}: {c.note}" for c in self.criteria if c.decides and not c.met]

    def to_json(self) -> dict[str, Json]:
        """Give the result as JSON."""
        return {"version": 1, "passed": self.passed, **asdict(self)}

    def table(self) -> str:
        """Give the result as text."""
        rows = [("attack", "guard off", "guard on", "rule", "reason")]
        rows += [
            (a.name, landed(a.off), landed(a.on), a.rule or "-", a.reason or "-")
            for a in self.attacks
        ]
        met = [("criterion", "met", "")]
        met += [(c.name, "yes" if c.met else "NO", c.note) for c in self.criteria]
        verdict = "passed" if self.passed else "FAILED"
        head = f"{self.scenario} {self.title}: {verdict} in {self.seconds:.1f} s (exit {self.exit})"
        return "\n".join([head, *aligned(rows), "", *aligned(met)])


def landed(worked: bool | None) -> str:  # noqa: FBT001 - the one argument of a two-word table
    """Say in a word what became of an attack."""
    return {True: "LANDED", False: "held", None: "-"}[worked]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Give rows as lines with columns lined up; the last column runs on."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]
