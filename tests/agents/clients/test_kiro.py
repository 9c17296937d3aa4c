from ringfence.agents.clients.kiro import KIRO


def test_nobody_is_asked() -> None:
    """A question would wait for ever in a box."""
    assert KIRO.argv("x") == ("kiro-cli", "chat", "--no-interactive", "--", "x")
