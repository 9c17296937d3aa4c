from ringfence.agents.clients.codex import CODEX


def test_the_models_shell_does_not_inherit_the_key() -> None:
    """Codex passes its whole environment on unless told otherwise."""
    assert "shell_environment_policy.ignore_default_excludes=false" in CODEX.argv("x")
