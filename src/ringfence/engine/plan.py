"""The run plan: everything one box will be, decided before it exists.

Invariants:
1. A plan is immutable and its digest (SHA-256 over canonical JSON) stands in the audit before
   the box starts; every backend works from the plan alone.
2. It holds no secret and no placeholder value: secrets appear by name.
3. Every mount says which rule asked for it.

Gathering the facts it is compiled from (where an interpreter lives) is the edge's work.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum

from ringfence.chain.canonical import digest
from ringfence.chain.words import Json


class MountKind(StrEnum):
    """What a mount is made of."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    TMPFS = "tmpfs"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the box's file tree. ``source`` is a host path (link text for a symlink)."""

    target: str
    kind: MountKind
    source: str = ""
    size_bytes: int = 0
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspacePlan:
    """The work tree: host directory seen copy-on-write at ``target``, changes kept in ``upper``."""

    directory: str
    target: str
    access: str
    layer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxLimits:
    """Bounds of a box; every number is enforced or the box does not start."""

    memory_bytes: int = 2 * 1024**3
    processes: int = 512
    cpu_seconds: int = 3_600
    wall_seconds: int = 3_600
    open_files: int = 1_024
    file_bytes: int = 1024**3
    tmp_bytes: int = 512 * 1024**2
    output_bytes: int = 16 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVar:
    """One variable: a plain ``value``, or the name of a secret whose placeholder it will show."""

    name: str
    value: str = ""
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRoute:
    """One egress rule as the broker will hold it, with the place that asked for it."""

    host: str
    port: int
    scheme: str
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    action: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The plan of one attempt of one step. Paths inside the box are absolute."""

    run: str
    agent: str
    attempt: int
    backend: str
    level: str
    argv: tuple[str, ...]
    cwd: str
    terminal: bool
    env: tuple[EnvVar, ...]
    mounts: tuple[Mount, ...]
    workspace: WorkspacePlan | None
    routes: tuple[PlannedRoute, ...]
    secrets: tuple[str, ...]
    limits: BoxLimits

    def to_json(self) -> dict[str, Json]:
        """Give the plan as a JSON object; its canonical form is what is hashed."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the plan."""
        return digest(self.to_json())
