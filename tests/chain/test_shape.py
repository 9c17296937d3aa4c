"""What a place in a file may hold."""

import pytest

from ringfence.chain.shape import nearest, seconds


@pytest.mark.parametrize(
    ("value", "expected"), [(7, 7), ("7s", 7), ("2m", 120), ("3h", 10_800), ("1d", 86_400)]
)
def test_durations_are_seconds(value: int | str, expected: int) -> None:
    """A number alone is seconds already."""
    assert seconds(value) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("promt", "prompt"),
        ("output_schema", "outputSchema"),
        ("OutputSchema", "outputSchema"),
        ("onError", "on_error"),
        ("qqq", ""),
        ("x" * 100_000, ""),
    ],
)
def test_the_nearest_name_is_the_one_meant(name: str, expected: str) -> None:
    """Spelling and separators may differ; what is too far gets no suggestion."""
    assert nearest(name, ("prompt", "outputSchema", "on_error", "network")) == expected
