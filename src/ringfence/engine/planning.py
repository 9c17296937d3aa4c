"""From a grant to a run plan: what one box will be.

Invariants:
1. Nothing gets into the plan that the grant, the step's own hand-off or the system base does not
   name, and every mount carries the rule that asked for it.
2. Paths inside the box are the product's constants; no agent or chain chooses where they lie.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ringfence.chain.errors import Position
from ringfence.chain.words import Access, Agent, Delivery, Limits, NetworkRule
from ringfence.engine.plan import (
    BoxLimits,
    EnvVar,
    Mount,
    MountKind,
    PlannedRoute,
    RunPlan,
    WorkspacePlan,
)
from ringfence.policy.grant import Grant

HOME = "/home/agent"
# Below the home, because a program's own prefix on the host is mounted at its own path, and work
# trees of people do lie in /work and /workspace.
WORK = f"{HOME}/work"
HANDOFF = "/run/ringfence"
PROXY = "http://127.0.0.1:3128"
CA_FILE = f"{HANDOFF}/ca.pem"
PROMPT_FILE = f"{HANDOFF}/prompt.txt"

# Each client library reads its own variable; the bundle is the same file for all of them.
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
)
PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """Host paths of what a step is handed and hands back."""

    prompt: str
    ca: str
    inputs: Mapping[str, str]
    out: str
    outbox: str
    layer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What starts in the box: argv as the box sees it, and the mounts it needs to run."""

    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]
    terminal: bool
    env: Mapping[str, str]


def plan_step(
    grant: Grant,
    agent: Agent,
    *,
    attempt: int,
    command: Command,
    system: Sequence[Mount],
    handoff: Handoff,
    workspace_directory: str | None,
) -> RunPlan:
    """Compile the plan of one attempt. ``workspace_directory`` is the resolved host directory."""
    workspace = None
    asked = grant.workspace
    if asked is not None and workspace_directory is not None and asked.access is not Access.NONE:
        workspace = WorkspacePlan(
            directory=workspace_directory,
            target=WORK,
            access=asked.access.value,
            layer=handoff.layer,
        )
    limits = box_limits(agent.limits, wall_seconds=agent.timeout_seconds)
    mounts = [*system, *command.mounts, *_handoff_mounts(handoff), *_scratch(limits)]
    if workspace is None:
        mounts.append(
            Mount(target=WORK, kind=MountKind.TMPFS, size_bytes=limits.tmp_bytes, rule="empty-work")
        )
    return RunPlan(
        run=grant.run,
        agent=agent.name,
        attempt=attempt,
        backend="native",
        level=grant.isolation,
        argv=command.argv,
        cwd=WORK,
        terminal=command.terminal,
        env=_environment(grant, agent, command),
        mounts=_unique(mounts),
        workspace=workspace,
        routes=tuple(_route(rule) for rule in grant.network),
        secrets=tuple(use.name for use in grant.secrets),
        limits=limits,
    )


def box_limits(limits: Limits, *, wall_seconds: int) -> BoxLimits:
    """Give the box limits: what the chain sets, the room's default for everything else."""
    default = BoxLimits()
    memory = default.memory_bytes if limits.memory_mb is None else limits.memory_mb * 1024**2
    return BoxLimits(
        memory_bytes=memory,
        processes=limits.processes or default.processes,
        cpu_seconds=limits.cpu_seconds or default.cpu_seconds,
        wall_seconds=wall_seconds,
        open_files=default.open_files,
        file_bytes=limits.file_bytes or default.file_bytes,
        tmp_bytes=default.tmp_bytes,
        output_bytes=limits.output_bytes or default.output_bytes,
    )


def input_path(name: str) -> str:
    """Give the path at which a hand-off file is read inside the box."""
    return f"{HANDOFF}/in/{name}"


def output_path(name: str) -> str:
    """Give the path at which the output is written inside the box."""
    return f"{HANDOFF}/out/{name}"


def prompt_text(agent: Agent) -> bytes:
    """Give the prompt with the two lines that say where hand-off files lie."""
    lines = [agent.prompt] if agent.prompt else []
    if agent.prompt:
        lines += [f"Input file: {input_path(name)}" for name in agent.input]
        if agent.output:
            lines.append(f"Write your output to: {output_path(agent.output)}")
    return "\n".join(lines).encode()


def _handoff_mounts(handoff: Handoff) -> list[Mount]:
    def read_only(target: str, source: str) -> Mount:
        return Mount(target=target, kind=MountKind.READ_ONLY, source=source, rule="hand-off")

    mounts = [read_only(PROMPT_FILE, handoff.prompt), read_only(CA_FILE, handoff.ca)]
    mounts += [read_only(input_path(name), path) for name, path in sorted(handoff.inputs.items())]
    for name, source in (("out", handoff.out), ("outbox", handoff.outbox)):
        mounts.append(
            Mount(
                target=f"{HANDOFF}/{name}",
                kind=MountKind.READ_WRITE,
                source=source,
                rule="hand-off",
            )
        )
    return mounts


def _scratch(limits: BoxLimits) -> list[Mount]:
    """Give the writable places every box has; they are empty at its start and gone at its end."""
    return [
        Mount(target=place, kind=MountKind.TMPFS, size_bytes=limits.tmp_bytes, rule="scratch")
        for place in ("/tmp", "/var/tmp", HOME)  # noqa: S108 - places inside the box
    ]


def _unique(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    seen: dict[str, Mount] = {}
    for mount in mounts:
        seen.setdefault(mount.target, mount)
    return tuple(seen[target] for target in sorted(seen))


def _environment(grant: Grant, agent: Agent, command: Command) -> tuple[EnvVar, ...]:
    plain = {
        "HOME": HOME,
        "USER": "agent",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TMPDIR": "/tmp",  # noqa: S108 - the box's own tmpfs
        "RINGFENCE_PROMPT": PROMPT_FILE,
        "RINGFENCE_OUTBOX": f"{HANDOFF}/outbox",
        "no_proxy": "",
        "NO_PROXY": "",
    }
    plain |= dict.fromkeys(CA_VARIABLES, CA_FILE)
    plain |= dict.fromkeys(PROXY_VARIABLES, PROXY)
    if command.terminal:
        plain["TERM"] = "xterm-256color"
    if agent.input:
        plain["RINGFENCE_INPUT"] = ":".join(input_path(name) for name in agent.input)
    if agent.output:
        plain["RINGFENCE_OUTPUT"] = output_path(agent.output)
    plain |= dict(command.env)
    plain |= dict(grant.env)
    variables = [EnvVar(name=name, value=value) for name, value in plain.items()]
    variables += [EnvVar(name=use.env, secret=use.name) for use in grant.secrets]
    return tuple(sorted(variables, key=lambda v: v.name))


def degraded(grant: Grant) -> tuple[str, ...]:
    """Name the secrets of a grant that are delivered by the degraded mode (R2)."""
    return tuple(u.name for u in grant.secrets if u.delivery is Delivery.UNSAFE_ENV)


def _route(rule: NetworkRule) -> PlannedRoute:
    return PlannedRoute(
        host=rule.host,
        port=rule.port,
        scheme=rule.scheme,
        methods=rule.methods,
        paths=rule.paths,
        action=rule.action.value,
        rule=_place(rule.where),
    )


def _place(where: Position) -> str:
    return f"{where.file}:{where.line}"
