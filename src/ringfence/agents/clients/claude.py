"""Claude Code (https://code.claude.com/docs/en/headless)."""

from ringfence.agents.clients.client import Client


def _command(prompt: str) -> tuple[str, ...]:
    # Settings of the work tree are left out: they may set the model's address, run commands as
    # hooks, and switch other hooks off (measured with 2.1.197 and 2.1.328).
    return ("claude", "-p", "--output-format", "json", "--setting-sources", "user", "--", prompt)


CLAUDE = Client(
    name="claude",
    command=_command,
    key="ANTHROPIC_API_KEY",
    env={
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        # Without it the model's shell sees the key's variable (there: a placeholder).
        "CLAUDE_CODE_SUBPROCESS_ENV_SCRUB": "1",
    },
)
