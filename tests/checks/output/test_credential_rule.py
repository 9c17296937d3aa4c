import pytest

from ringfence.checks.output.credential_rule import crc32_base62, entropy, looks_made_up


def test_the_checksum_is_the_published_one() -> None:
    """Against the example token of GitHub's own announcement, put together here."""
    assert crc32_base62(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ") == b"0mLq17"


def test_small_checksums_are_padded() -> None:
    """Six digits always."""
    assert crc32_base62(b"") == b"000000"


def test_entropy_counts_bits() -> None:
    """Two letters one bit, four letters two."""
    assert entropy(b"abab") == pytest.approx(1)
    assert entropy(b"abcd") == pytest.approx(2)
    assert entropy(b"aaaa") == pytest.approx(0)


@pytest.mark.parametrize(
    "text", [b"xxxxxxxxxxxx", b"your-token-1", b"EXAMPLEKEY9Q", b"ababab", b"change_me_4Zq", b"***"]
)
def test_placeholders_are_recognised(text: bytes) -> None:
    """What people write where a secret would stand."""
    assert looks_made_up(text)


@pytest.mark.parametrize("text", [b"kQ3xWv9RtL2n", b"Z3MRQ6TXW2NB5VKD", b"3f9c2a7be41d8056"])
def test_random_text_is_not_a_placeholder(text: bytes) -> None:
    """What a generator makes."""
    assert not looks_made_up(text)
