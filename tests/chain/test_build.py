"""How the fields of one agent fit together."""

from collections.abc import Callable

import pytest

from ringfence.chain.words import (
    Access,
    Agent,
    AgentType,
    Chain,
    Limits,
    Merge,
    Retry,
)

Only = Callable[..., Agent]
Faults = Callable[..., list[str]]


def test_a_prompt_alone_gets_the_tightest_agent(only: Only) -> None:
    """No network, no secret, no folder, changes held, the full box."""
    agent = only()
    assert (agent.type, agent.client, agent.run) == (AgentType.CLI, None, ())
    assert (agent.network, agent.secrets, agent.workspace, dict(agent.env)) == ((), (), None, {})
    assert (agent.merge, agent.isolation, agent.timeout_seconds) == (Merge.HOLD, "L3", 3_600)
    assert (agent.retry, agent.limits, agent.review) == (Retry(), Limits(), "on-failure")
    assert str(agent.where) == "chain.yaml:3:11"


def test_every_field_arrives(only: Only) -> None:
    """What is written is what the record says."""
    agent = only(
        "client: claude",
        "model: some-model",
        "output: notes.md",
        "workspace: {directory: ./w, access: read, type: docker}",
        "merge: auto",
        "env: {AREA: billing}",
        "checks: [secret-in-output]",
        "outputSchema: {type: object}",
        "retry: {max_attempts: 3, backoff: fixed, initial_delay_ms: 1, max_delay_ms: 2}",
        "on_error: notes:failed",
        "timeout: 10m",
        "limits: {memoryMb: 64, processes: 2, cpuSeconds: 3, outputBytes: 4096, fileBytes: 5000}",
        "isolation: L4",
    )
    assert (agent.client, agent.model, agent.output) == ("claude", "some-model", "notes.md")
    assert agent.workspace is not None
    assert (agent.workspace.directory, agent.workspace.type) == ("./w", "docker")
    assert (agent.workspace.access, agent.merge) == (Access.READ, Merge.AUTO)
    assert (dict(agent.env), agent.checks) == ({"AREA": "billing"}, ("secret-in-output",))
    assert agent.output_schema == {"type": "object"}
    assert agent.retry == Retry(max_attempts=3, backoff="fixed", initial_delay_ms=1, max_delay_ms=2)
    assert (agent.on_error, agent.timeout_seconds, agent.isolation) == ("notes:failed", 600, "L4")
    assert agent.limits == Limits(
        memory_mb=64, processes=2, cpu_seconds=3, output_bytes=4096, file_bytes=5000
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("workspace: {directory: /etc}", "bad-directory 7:28"),
        ("workspace: {directory: ../x}", "bad-directory 7:28"),
        ("workspace: {directory: a/../../x}", "bad-directory 7:28"),
        ("workspace: {directory: ~/x}", "bad-directory 7:28"),
        ("workspace: {directory: 'a\\b'}", "bad-directory 7:28"),
        ("workspace: {directory: ''}", "bad-directory 7:28"),
        ('workspace: {directory: "a\\nb"}', "bad-directory 7:28"),
        ("workspace: {type: ssh, directory: x}", "bad-value 7:23"),
        ("workspace: {type: local}", "missing-field 7:16"),
        ("input: a/b", "bad-value 7:12"),
        ("output: .hidden", "bad-value 7:13"),
        ("output: ..", "bad-value 7:13"),
        ("output: " + "x" * 129, "too-long 7:13"),
        ("name: again", "duplicate-key 7:5"),
        ("agent: again", "duplicate-key 7:5"),
        ("client: Claude", "bad-value 7:13"),
        ("timeout: 0", "out-of-range 7:14"),
        ("timeout: 8d", "out-of-range 7:14"),
        ("isolation: L0", "bad-value 7:16"),
        ("merge: always", "bad-value 7:12"),
        ("retry: {max_attempts: 0}", "out-of-range 7:27"),
        ("retry: {maxAttempts: 1}", "unknown-field 7:13"),
        ("limits: {memoryMb: 1}", "out-of-range 7:24"),
        ("limits: {cost: 1}", "not-enforced 7:14"),
        ("tools: [shell]", "not-enforced 7:5"),
        ("hooks: {}", "not-enforced 7:5"),
        ("mcpServers: {}", "not-enforced 7:5"),
        ("run: make test", "wrong-type 7:10"),
        ("run: []", "wrong-length 7:10"),
        ("type: llm", "missing-field 3:11"),
        ("type: script", "missing-field 3:11"),
        ("type: gate", "ok"),
        ("type: shell", "bad-value 7:11"),
        ("review: always", "wrong-for-type 7:5"),
        ("{type: gate", "yaml-syntax 8:1"),
    ],
)
def test_bad_fields_have_their_place(only: Only, only_faults: Faults, line: str, said: str) -> None:
    """One wrong line, one error, at the value that is wrong."""
    if said == "ok":
        assert only(line).type is AgentType.GATE
    else:
        assert only_faults(line) == [said]


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (("run: [make]",), AgentType.SCRIPT),
        (("client: claude",), AgentType.CLI),
        (("type: cli", "run: [my-agent]"), AgentType.CLI),
        (("type: llm", "model: m"), AgentType.LLM),
        (("type: gate",), AgentType.GATE),
        (("type: gate", "run: [check]", "review: always"), AgentType.GATE),
        (("type: review",), AgentType.REVIEW),
        ((), AgentType.CLI),
    ],
)
def test_the_type_follows_from_what_is_given(
    only: Only, lines: tuple[str, ...], kind: AgentType
) -> None:
    """Said, or seen from run."""
    assert only(*lines).type is kind


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("run: [make]", "client: claude"), "wrong-for-type 8:5"),
        (("type: cli", "run: [make]", "client: claude"), "two-programs 9:5"),
        (("type: gate", "run: [make]", "client: claude"), "two-programs 9:5"),
    ],
)
def test_one_agent_is_one_program(only_faults: Faults, lines: tuple[str, ...], said: str) -> None:
    """Nobody guesses which of the two is meant."""
    assert only_faults(*lines) == [said]


@pytest.mark.parametrize(
    "line",
    ["network: [a.example]", "env: {A: b}", "workspace: {directory: x}", "run: [x]", "output: f"],
)
def test_a_review_has_no_box(only_faults: Faults, line: str) -> None:
    """Fields about a box would be ignored for a person, so they are refused."""
    assert only_faults("type: review", line) == ["wrong-for-type 8:5"]


@pytest.mark.parametrize(
    ("emits", "good"), [("[]", False), ("[a:b, a:c]", True), ("[a:b, a:c, a:d]", False)]
)
@pytest.mark.parametrize("kind", ["gate", "review"])
def test_gates_and_reviews_have_two_ends(
    load: Callable[..., Chain], faults: Faults, kind: str, emits: str, *, good: bool
) -> None:
    """The first event says passed, the second failed."""
    text = f"""\
    name: two
    agents:
      - {{name: judge, type: {kind}, prompt: x, triggers: chain:start, emits: {emits}}}
      - {{name: last, prompt: x, triggers: chain:start, emits: chain:complete}}
    """
    if good:
        assert load(text).agents[0].emits == ("a:b", "a:c")
    else:
        assert faults(text) == ["wrong-length 3:12"]
