from ringfence.apps.replay.result import AttackResult, Criterion, ScenarioResult, aligned, landed


def result(*, on: bool, met: bool) -> ScenarioResult:
    """Give a result with one attack and one criterion."""
    return ScenarioResult(
        scenario="s0",
        title="t",
        run="r1",
        exit=0,
        attacks=(AttackResult(name="steal", off=True, on=on, rule="no-route", reason="why"),),
        criteria=(Criterion(name="C1", met=met, note="found it"),),
        seconds=1.0,
    )


def test_passing_takes_every_attack_and_every_criterion() -> None:
    """One attack that landed or one criterion not met is a failure, and is named."""
    assert result(on=False, met=True).passed
    assert result(on=True, met=True).failures() == ["attack not held: steal"]
    assert result(on=False, met=False).failures() == ["C1: found it"]


def test_an_attack_that_never_worked_is_not_held() -> None:
    """Stopping what does not work proves nothing."""
    assert not AttackResult(name="x", off=False, on=False).held
    assert not AttackResult(name="x", off=True, on=None).held


def test_table_and_json_say_the_same() -> None:
    """Both show attack, halves, rule and verdict."""
    found = result(on=False, met=True)
    assert "steal   LANDED     held      no-route  why" in found.table()
    assert "passed" in found.table()
    body = found.to_json()
    assert (body["version"], body["passed"], body["run"]) == (1, True, "r1")


def test_columns_line_up_and_the_last_runs_on() -> None:
    """No line ends in blanks."""
    assert aligned([("a", "b"), ("long", "")]) == ["a     b", "long"]
    assert [landed(x) for x in (True, False, None)] == ["LANDED", "held", "-"]
