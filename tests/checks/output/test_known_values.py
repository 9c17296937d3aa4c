from ringfence.checks.output.known_values import Automaton, KnownValue


def test_a_known_value_does_not_show_itself() -> None:
    """A stray repr in a log or trace shows the name only."""
    assert repr(KnownValue(name="DB", value=b"hunter2hunter2")) == "KnownValue(name='DB')"


def test_the_password_of_a_url_is_known_alone() -> None:
    """An agent may print the password without the URL around it."""
    value = KnownValue(name="DB", value=b"postgres://app:p4ssw0rd!@db.test:5432/app")
    assert b"p4ssw0rd!" in tuple(value.parts())


def test_the_lines_of_a_key_file_are_known_alone() -> None:
    """Body lines are secret on their own; header lines are public text."""
    body = b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
    value = b"-----BEGIN PRIVATE KEY-----\n" + body + b"\nshort\n-----END PRIVATE KEY-----\n"
    parts = tuple(KnownValue(name="KEY", value=value).parts())
    assert parts == (value.strip(), body)


def test_without_values_there_is_nothing_to_look_for() -> None:
    """An empty vault gives an automaton with a root and no anchor."""
    empty = Automaton([])
    assert empty.anchor is None
    assert empty.advance(0, 65) == 0


def test_a_form_inside_another_ends_with_it() -> None:
    """Where a long form ends, the forms that are its suffix end too."""
    automaton = Automaton(
        [KnownValue(name="LONG", value=b"abcdefgh"), KnownValue(name="TAIL", value=b"efgh")]
    )
    state = 0
    for byte in b"abcdefgh":
        state = automaton.advance(state, byte)
    assert [form.name for form in automaton.endings[state]] == ["LONG", "TAIL"]
