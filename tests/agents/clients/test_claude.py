from ringfence.agents.clients.claude import CLAUDE


def test_settings_of_the_work_tree_are_left_out() -> None:
    """A poisoned repository must not choose the address the key is sent to."""
    argv = CLAUDE.argv("x")
    assert argv[argv.index("--setting-sources") + 1] == "user"
