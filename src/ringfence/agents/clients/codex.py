"""Codex CLI (https://developers.openai.com/codex/noninteractive)."""

from ringfence.agents.clients.client import Client


def _command(prompt: str) -> tuple[str, ...]:
    return (
        "codex",
        "exec",
        "--skip-git-repo-check",
        "--json",
        # Keeps the key's variable from the model's shell (measured with 0.169.0).
        "-c",
        "shell_environment_policy.ignore_default_excludes=false",
        "--",
        prompt,
    )


CODEX = Client(
    name="codex",
    command=_command,
    key="OPENAI_API_KEY",
    # Codex refuses to set up its own helper when its home is below the temporary directory.
    env={"CODEX_HOME": "/home/agent/.codex"},
)
