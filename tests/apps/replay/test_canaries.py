from ringfence.apps.replay.canaries import draw


def test_every_draw_is_fresh() -> None:
    """Two replays never share a value, so one cannot be blamed for the other's leak."""
    first, second = draw(), draw()
    assert not {c.core for c in first.all()} & {c.core for c in second.all()}


def test_the_core_is_in_the_value_and_long_enough() -> None:
    """The part searched for is part of what is planted and cannot turn up by chance."""
    for canary in draw().all():
        assert canary.core in canary.value
        assert len(canary.core) >= 16


def test_names_tell_canaries_apart() -> None:
    """A leak names exactly one canary."""
    names = [canary.name for canary in draw().all()]
    assert len(set(names)) == len(names) == 6
