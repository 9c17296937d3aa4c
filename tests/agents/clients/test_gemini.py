from ringfence.agents.clients.gemini import GEMINI


def test_the_prompt_is_joined_to_its_option() -> None:
    """As an argument of its own it would be read as an option when it starts with a dash."""
    assert GEMINI.argv("-y") == ("gemini", "--output-format=json", "--prompt=-y")
