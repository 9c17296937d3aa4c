"""Signed heads: one spelling, one key, no second reading."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ringfence.audit.checkpoint import (
    Checkpoint,
    CheckpointError,
    Signer,
    Verifier,
    parse_and_verify,
    sign,
)

SIGNER = Signer("ringfence/test", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Signer("ringfence/test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
HEAD = Checkpoint("ringfence/test", 5, bytes(range(32)))
NOTE = sign(HEAD, SIGNER)


def test_the_note_is_these_bytes() -> None:
    """The layout of C2SP tlog-checkpoint and signed-note, spelled out by hand."""
    public = SIGNER.private_key.public_key().public_bytes_raw()
    body = b"ringfence/test\n5\n" + base64.b64encode(bytes(range(32))) + b"\n"
    key_hash = hashlib.sha256(b"ringfence/test\n\x01" + public).digest()[:4]
    signature = base64.b64encode(key_hash + SIGNER.private_key.sign(body))
    assert body + b"\n" + "— ringfence/test ".encode() + signature + b"\n" == NOTE


def test_the_example_key_of_the_note_format() -> None:
    """The key and note in the documentation of Go's sumdb/note verify here too."""
    verifier = Verifier.from_line(
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )
    assert verifier.key_hash().hex() == "c74f20a3"
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signature = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert signature[:4] == verifier.key_hash()
    verifier.public_key.verify(signature[4:], text.encode())


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_signed_is_read_back(size: int, root: bytes) -> None:
    """Every size and root survives the note."""
    head = Checkpoint("ringfence/test", size, root)
    assert parse_and_verify(sign(head, SIGNER), SIGNER.verifier) == head


@given(st.integers(0, len(NOTE) * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    """No byte of the note is without meaning."""
    spoiled = bytearray(NOTE)
    spoiled[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CheckpointError):
        parse_and_verify(bytes(spoiled), SIGNER.verifier)


@given(st.binary(max_size=300))
def test_any_bytes_fail_as_checkpoint_error(data: bytes) -> None:
    """Nothing else is ever raised for what comes from outside."""
    for attempt in (
        data,
        NOTE + data,
        NOTE[:60] + data,
        NOTE.partition(b"\n\n")[0] + b"\n\n" + data,
    ):
        if attempt != NOTE:
            with pytest.raises(CheckpointError):
                parse_and_verify(attempt, SIGNER.verifier)


def body_with(old: bytes, new: bytes) -> bytes:
    """Give a note whose changed body is rightly signed, so that only the form is wrong."""
    body = HEAD.body().replace(old, new)
    signature = SIGNER.verifier.key_hash() + SIGNER.private_key.sign(body)
    return body + "\n— ringfence/test ".encode() + base64.b64encode(signature) + b"\n"


def test_the_hand_made_note_is_otherwise_good() -> None:
    """With nothing changed, the helper's note verifies: the refusals below are about the form."""
    assert parse_and_verify(body_with(b"", b""), SIGNER.verifier) == HEAD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n5\n", b"\n05\n"), (b"\n5\n", b"\n+5\n"), (b"\n5\n", b"\n 5\n"), (b"\n5\n", b"\n-5\n"),
        (b"\n5\n", b"\n5.0\n"), (b"\n5\n", b"\n5\r\n"), (b"\n5\n", "\n\u0665\n".encode()),
        (b"\n5\n", b"\n9223372036854775808\n"), (b"\n5\n", b"\n" + b"9" * 5000 + b"\n"),
        (b"Hh8=", b"Hh9="), (b"Hh8=", b"Hh8"), (b"Hh8=", b"Hh8=="),
        (b"Hh8=\n", b"Hh8=\nextension\n"),
        (b"Hh8=", b"Hh8A"), (b"\n5\n", b"\n5\n5\n"), (b"ringfence/test", b"ringfence test"),
        (b"ringfence/test", b""), (b"ringfence/test", b"ringfence+test"),
    ],
)  # fmt: skip
def test_one_spelling_only(old: bytes, new: bytes) -> None:
    """A second way to write the same head is refused, though rightly signed."""
    with pytest.raises(CheckpointError) as caught:
        parse_and_verify(body_with(old, new), SIGNER.verifier)
    assert caught.value.code == "checkpoint-malformed"


def test_another_key_of_the_same_name_is_forged() -> None:
    """The name is not the key."""
    with pytest.raises(CheckpointError) as caught:
        parse_and_verify(sign(HEAD, OTHER), SIGNER.verifier)
    assert caught.value.code == "checkpoint-forged"
    assert "audit.pub" in caught.value.hint


def test_our_key_hash_with_another_keys_signature_is_forged() -> None:
    """The four bytes of key hash are a hint, never the proof."""
    body = HEAD.body()
    signature = SIGNER.verifier.key_hash() + OTHER.private_key.sign(body)
    note = body + "\n— ringfence/test ".encode() + base64.b64encode(signature) + b"\n"
    with pytest.raises(CheckpointError) as caught:
        parse_and_verify(note, SIGNER.verifier)
    assert caught.value.code == "checkpoint-forged"


def test_another_log_signed_by_the_same_key_is_refused() -> None:
    """A checkpoint counts for the log it names."""
    elsewhere = Signer("ringfence/other", SIGNER.private_key)
    head = Checkpoint("ringfence/other", 5, bytes(32))
    under_our_name = SIGNER.verifier.key_hash() + SIGNER.private_key.sign(head.body())
    line = "— ringfence/test ".encode() + base64.b64encode(under_our_name) + b"\n"
    for note in (sign(head, elsewhere), head.body() + b"\n" + line):
        with pytest.raises(CheckpointError) as caught:
            parse_and_verify(note, SIGNER.verifier)
        assert caught.value.code == "checkpoint-forged"


def test_a_witness_line_is_allowed_and_not_enough() -> None:
    """A second signer's line may stand beside ours; alone it makes nothing ours."""
    witness = "— witness.example ".encode() + base64.b64encode(b"keyh" + bytes(72)) + b"\n"
    assert parse_and_verify(NOTE + witness, SIGNER.verifier) == HEAD
    with pytest.raises(CheckpointError):
        parse_and_verify(HEAD.body() + b"\n" + witness, SIGNER.verifier)
    with pytest.raises(CheckpointError):
        parse_and_verify(NOTE + witness * 16, SIGNER.verifier)


def test_signature_lines_are_read_strictly() -> None:
    """A line with another dash, more words, or nothing behind the key hash spoils the note."""
    short = base64.b64encode(b"four")
    for line in ("- w AAAAAAAA", "— w", "— w AAAAAAAA x", "—  AAAAAAAA", f"— w {short.decode()}"):
        with pytest.raises(CheckpointError) as caught:
            parse_and_verify(NOTE + line.encode() + b"\n", SIGNER.verifier)
        assert caught.value.code == "checkpoint-malformed"


def test_a_key_of_another_algorithm_is_refused() -> None:
    """Type 2 is no Ed25519 key, though as long as one."""
    other = base64.b64encode(b"\x02" + bytes(32)).decode()
    with pytest.raises(CheckpointError):
        Verifier.from_line(f"a+00000000+{other}")


def test_a_doubled_signature_and_a_huge_note_are_refused() -> None:
    """One line of ours, and at most 16 KiB."""
    line = NOTE[len(HEAD.body()) + 1 :]
    for attempt in (NOTE + line, NOTE + b"x" * 17_000):
        with pytest.raises(CheckpointError):
            parse_and_verify(attempt, SIGNER.verifier)


def test_what_the_format_cannot_say_is_not_signed() -> None:
    """A bad origin, size or root, or another log's name, raises before signing."""
    for head in (
        Checkpoint("a b", 1, bytes(32)),
        Checkpoint("ringfence/test", -1, bytes(32)),
        Checkpoint("ringfence/test", 1, bytes(31)),
        Checkpoint("other", 1, bytes(32)),
    ):
        with pytest.raises(ValueError, match=r"origin|size|own"):
            sign(head, Signer("a b", SIGNER.private_key) if head.origin == "a b" else SIGNER)


def test_keys_survive_their_lines() -> None:
    """The public and the private line read back to the same key."""
    assert Verifier.from_line(SIGNER.verifier.to_line()) == SIGNER.verifier
    again = Signer.from_line(SIGNER.to_line())
    assert parse_and_verify(sign(HEAD, again), SIGNER.verifier) == HEAD


@pytest.mark.parametrize(
    "line", ["", "x", "a+b", "a+b+c", "PRIVATE+KEY+a+b+c", "+" * 9, "a+00000000+"]
)
def test_bad_key_lines_are_refused(line: str) -> None:
    """A key line is exact or refused."""
    for read in (Verifier.from_line, Signer.from_line):
        with pytest.raises(CheckpointError):
            read(line)


def test_a_key_line_with_another_hash_is_refused_and_not_quoted() -> None:
    """A mixed-up key line is noticed, and a private one never appears in the error."""
    name, _, rest = SIGNER.verifier.to_line().partition("+")
    with pytest.raises(CheckpointError):
        Verifier.from_line(f"{name}+00000000+{rest.partition('+')[2]}")
    private = SIGNER.to_line().replace("ringfence/test", "ringfence/other")
    with pytest.raises(CheckpointError) as caught:
        Signer.from_line(private)
    assert private[-20:] not in repr(caught.value.to_json())


def test_a_signer_does_not_print_its_key() -> None:
    """A signer in a log or traceback shows its name."""
    assert repr(SIGNER) == "Signer('ringfence/test')"
