"""Kiro CLI (https://kiro.dev/docs/cli/headless)."""

from ringfence.agents.clients.client import Client


def _command(prompt: str) -> tuple[str, ...]:
    return ("kiro-cli", "chat", "--no-interactive", "--", prompt)


KIRO = Client(
    name="kiro",
    command=_command,
    key="KIRO_API_KEY",
)
