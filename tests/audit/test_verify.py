"""Every way to change a log is found, and the position is named."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.audit import verify as module
from ringfence.audit.checkpoint import Checkpoint, Signer, sign
from ringfence.audit.merkle import EMPTY_ROOT, leaf_hash
from ringfence.audit.verify import Entry, Flaw, VerifyResult, damaged_head, verify

Log = tuple[list[Entry], list[bytes]]
MakeLog = Callable[[list[bytes], list[int]], Log]

DATA = [f"record {n}".encode() for n in range(12)]
SIZES = [0, 1, 4, 5, 9, 12]


@pytest.fixture
def log(make_log: MakeLog) -> Log:
    """Twelve records, six checkpoints."""
    return make_log(DATA, SIZES)


def rehash(entries: list[Entry], position: int, data: bytes) -> list[Entry]:
    """Forge one record and its stored leaf hash, as an attacker with the database would."""
    forged = replace(entries[position], data=data, leaf=leaf_hash(data))
    return [*entries[:position], forged, *entries[position + 1 :]]


def bad(result: VerifyResult) -> tuple[Flaw | None, int | None, int | None]:
    """Give what the tests below compare; a bad result always explains itself."""
    assert not result.ok
    assert result.reason
    assert result.hint
    return result.flaw, result.first_bad, result.bad_end


def test_an_untouched_log_is_ok(log: Log, signer: Signer) -> None:
    """All records are checked, nothing is bad."""
    assert verify(*log, signer.verifier) == VerifyResult(ok=True, size=12, checked=12)


def test_a_new_log_is_ok(make_log: MakeLog, signer: Signer) -> None:
    """No record and the checkpoint of size nought."""
    assert verify(*make_log([], [0]), signer.verifier).ok


def test_an_edited_record_is_named(log: Log, signer: Signer) -> None:
    """The bytes no longer fit the stored leaf hash."""
    entries, notes = log
    entries[7] = replace(entries[7], data=b"something else")
    assert bad(verify(entries, notes, signer.verifier)) == (Flaw.EDITED, 7, 8)


def test_an_edited_leaf_hash_is_named(log: Log, signer: Signer) -> None:
    """A leaf hash that fits nothing is an edit too."""
    entries, notes = log
    entries[7] = replace(entries[7], leaf=bytes(32))
    assert bad(verify(entries, notes, signer.verifier)) == (Flaw.EDITED, 7, 8)


def test_a_forged_record_with_its_hash_is_caught_by_the_checkpoint(
    log: Log, signer: Signer
) -> None:
    """Consistent forging is found at the first checkpoint over it; its batch is named."""
    entries, notes = log
    forged = rehash(entries, 6, b"forged")
    assert all(leaf_hash(e.data) == e.leaf for e in forged)
    assert bad(verify(forged, notes, signer.verifier)) == (Flaw.REWRITTEN, 5, 9)


def test_a_plain_hash_chain_accepts_a_rewritten_tail(log: Log, signer: Signer) -> None:
    """Guard off: re-chaining hides the forgery from a chain without signed heads. Ours names it."""

    def chain(entries: list[Entry]) -> list[bytes]:
        links = [bytes(32)]
        for entry in entries:
            links.append(hashlib.sha256(links[-1] + entry.data).digest())
        return links

    def chain_holds(entries: list[Entry], links: list[bytes]) -> bool:
        return chain(entries) == links

    entries, notes = log
    assert not chain_holds(rehash(entries, 4, b"forged"), chain(entries))
    forged = rehash(entries, 4, b"forged")
    assert chain_holds(forged, chain(forged))
    assert bad(verify(forged, notes, signer.verifier)) == (Flaw.REWRITTEN, 4, 5)


@pytest.mark.parametrize("position", [0, 3, 11])
def test_a_removed_record_is_named(log: Log, signer: Signer, position: int) -> None:
    """A gap in the positions, or a missing end."""
    entries, notes = log
    del entries[position]
    flaw = Flaw.TRUNCATED if position == 11 else Flaw.MISSING
    assert bad(verify(entries, notes, signer.verifier)) == (flaw, position, position + 1)


def test_a_removed_record_with_the_gap_closed_is_caught(log: Log, signer: Signer) -> None:
    """Renumbering the rest leaves the roots wrong."""
    entries, notes = log
    closed = [replace(e, position=n) for n, e in enumerate(entries[:6] + entries[7:])]
    assert bad(verify(closed, notes, signer.verifier)) == (Flaw.REWRITTEN, 5, 9)


def test_an_inserted_record_is_caught(log: Log, signer: Signer) -> None:
    """One record more in the middle, all renumbered."""
    entries, notes = log
    extra = Entry(position=0, data=b"extra", leaf=leaf_hash(b"extra"))
    longer = [replace(e, position=n) for n, e in enumerate([*entries[:10], extra, *entries[10:]])]
    assert bad(verify(longer, notes, signer.verifier)) == (Flaw.REWRITTEN, 9, 12)


def test_two_swapped_records_are_caught(log: Log, signer: Signer) -> None:
    """Contents swapped under their positions change the root."""
    entries, notes = log
    swapped = rehash(rehash(entries, 6, DATA[7]), 7, DATA[6])
    assert bad(verify(swapped, notes, signer.verifier)) == (Flaw.REWRITTEN, 5, 9)


def test_records_out_of_order_or_twice_are_named(log: Log, signer: Signer) -> None:
    """An export in another order, and one with a record twice."""
    entries, notes = log
    moved = [*entries[:3], entries[4], entries[3], *entries[5:]]
    assert bad(verify(moved, notes, signer.verifier))[:2] == (Flaw.MISSING, 3)
    twice = [*entries[:5], entries[4], *entries[5:]]
    assert bad(verify(twice, notes, signer.verifier))[:2] == (Flaw.OUT_OF_ORDER, 4)


def test_a_cut_log_is_named_at_the_cut(log: Log, signer: Signer) -> None:
    """The newest checkpoint says how many there were."""
    entries, notes = log
    assert bad(verify(entries[:9], notes, signer.verifier)) == (Flaw.TRUNCATED, 9, 12)
    assert bad(verify([], notes, signer.verifier)) == (Flaw.TRUNCATED, 0, 1)


def test_cutting_records_and_checkpoints_together_shows_with_an_outside_checkpoint(
    log: Log, signer: Signer
) -> None:
    """Guard off: cut together, the local log looks whole. A checkpoint kept elsewhere shows it."""
    entries, notes = log
    assert verify(entries[:5], notes[:4], signer.verifier).ok
    kept = notes[-1]
    assert bad(verify(entries[:5], [*notes[:4], kept], signer.verifier)) == (Flaw.TRUNCATED, 5, 12)


def test_an_unsigned_tail_is_named(log: Log, signer: Signer) -> None:
    """Records after the newest checkpoint were never signed."""
    entries, notes = log
    assert bad(verify(entries, notes[:-1], signer.verifier)) == (Flaw.UNSIGNED_TAIL, 9, 12)


def test_a_log_without_checkpoints_is_not_ok(log: Log, signer: Signer) -> None:
    """Deleting all checkpoints, or everything, does not make a clean log."""
    assert bad(verify(log[0], [], signer.verifier)) == (Flaw.NO_CHECKPOINT, 0, None)
    assert bad(verify([], [], signer.verifier)) == (Flaw.NO_CHECKPOINT, 0, None)


def test_a_checkpoint_of_another_key_is_forged(log: Log, signer: Signer) -> None:
    """An attacker who rewrites everything and signs with a key of their own."""
    entries, notes = log
    thief = Signer(signer.origin, Ed25519PrivateKey.generate())
    forged = sign(Checkpoint(signer.origin, 9, bytes(32)), thief)
    notes[4] = forged
    assert bad(verify(entries, notes, signer.verifier)) == (Flaw.FORGED_CHECKPOINT, 5, None)
    assert bad(verify(entries, [b"junk"], signer.verifier)) == (Flaw.FORGED_CHECKPOINT, 0, None)


def test_a_checkpoint_of_a_different_history_is_a_fork(
    make_log: MakeLog, log: Log, signer: Signer
) -> None:
    """Rightly signed, but over other records: two histories under one key."""
    entries, notes = log
    _, other = make_log([*DATA[:6], b"other", *DATA[7:]], [7, 9])
    with_other = sorted([*notes, other[0]], key=lambda note: int(note.split(b"\n")[1]))
    assert bad(verify(entries, with_other, signer.verifier)) == (Flaw.FORKED, 5, 7)
    for pair in ([notes[4], other[1]], [other[1], notes[4]]):
        mixed = [*notes[:4], *pair, *notes[5:]]
        assert bad(verify(entries, mixed, signer.verifier))[:2] == (Flaw.FORKED, 5)


def test_a_second_empty_history_is_a_fork(log: Log, signer: Signer) -> None:
    """Even the checkpoint of size nought has one root only."""
    odd = sign(Checkpoint(signer.origin, 0, bytes(32)), signer)
    assert bytes(32) != EMPTY_ROOT
    assert bad(verify(log[0], [odd, *log[1]], signer.verifier))[:2] == (Flaw.FORKED, 0)


def test_the_same_checkpoint_twice_is_fine(log: Log, signer: Signer) -> None:
    """A copy kept elsewhere may be given beside the stored one."""
    entries, notes = log
    assert verify(entries, [*notes, notes[-1]], signer.verifier).ok


def test_checkpoints_out_of_order_are_refused(log: Log, signer: Signer) -> None:
    """The caller sorts; what shrinks is not a history."""
    entries, notes = log
    assert bad(verify(entries, notes[::-1], signer.verifier))[0] == Flaw.OUT_OF_ORDER


def test_the_lowest_position_wins(log: Log, signer: Signer) -> None:
    """A forged early record is named even when a later one is plainly edited."""
    entries, notes = log
    forged = rehash(entries, 2, b"forged")
    forged[10] = replace(forged[10], data=b"edited")
    assert bad(verify(forged, notes, signer.verifier)) == (Flaw.REWRITTEN, 1, 4)


def test_records_are_streamed(log: Log, signer: Signer) -> None:
    """Records are taken one by one and none is kept."""
    entries, notes = log
    alive = 0
    most = 0

    class Counted(bytes):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def stream() -> Iterator[Entry]:
        nonlocal alive, most
        for entry in entries:
            alive += 1
            most = max(most, alive)
            yield replace(entry, data=Counted(entry.data))

    assert verify(stream(), iter(notes), signer.verifier).ok
    assert most <= 2


def test_a_damaged_head_is_no_clean_bill(log: Log, signer: Signer) -> None:
    """Sound records under a head that does not fit are reported as such."""
    result = damaged_head(verify(*log, signer.verifier), "why")
    assert (result.ok, result.flaw, result.size) == (False, Flaw.DAMAGED_HEAD, 12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.binary(max_size=4), min_size=1, max_size=20), st.data())
def test_any_forging_of_records_is_found(
    make_log: MakeLog, signer: Signer, data: list[bytes], choose: st.DataObject
) -> None:
    """Any other list fails, and the ``checked`` first records are those that were signed."""
    sizes = sorted({*choose.draw(st.sets(st.integers(0, len(data)))), 0, len(data)})
    entries, notes = make_log(data, sizes)
    assert verify(entries, notes, signer.verifier).ok
    forged = choose.draw(st.lists(st.sampled_from([*data, b"forged"]), max_size=22))
    result = verify(make_log(forged, [])[0], notes, signer.verifier)
    assert result.ok == (forged == data)
    if not result.ok:
        assert result.first_bad is not None
        assert result.checked <= result.first_bad
    assert forged[: result.checked] == data[: result.checked]


def test_every_flaw_has_a_hint() -> None:
    """Whoever reads a flaw is told what to do."""
    assert set(module._HINTS) == set(Flaw)
