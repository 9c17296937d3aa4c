"""Gemini CLI (https://geminicli.com/docs/cli/headless)."""

from ringfence.agents.clients.client import Client


def _command(prompt: str) -> tuple[str, ...]:
    return ("gemini", "--output-format=json", f"--prompt={prompt}")


GEMINI = Client(
    name="gemini",
    command=_command,
    key="GEMINI_API_KEY",
    env={"GEMINI_CLI_TRUST_WORKSPACE": "true"},
)
