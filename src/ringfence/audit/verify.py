"""Check a log against its signed checkpoints and name the first position that is wrong.

Invariants:
1. Memory is constant: one frontier and one checkpoint, whatever the size of the log.
2. ``ok`` means: every record is one that was signed, in its place, none missing up to the newest
   checkpoint given, none after it.
3. The stored bytes are hashed as they are; nothing is parsed or written again.

It cannot see what its checkpoints cannot: records and checkpoints cut back together to an older
state, or a history written anew by whoever holds the signing key. A checkpoint kept elsewhere,
given as one more checkpoint, shows the first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ringfence.audit.checkpoint import Checkpoint, CheckpointError, Verifier, parse_and_verify
from ringfence.audit.merkle import Frontier, leaf_hash


class Flaw(StrEnum):
    """What is wrong with a log."""

    EDITED = "edited"
    MISSING = "missing"
    OUT_OF_ORDER = "out-of-order"
    REWRITTEN = "rewritten"
    TRUNCATED = "truncated"
    UNSIGNED_TAIL = "unsigned-tail"
    FORGED_CHECKPOINT = "forged-checkpoint"
    FORKED = "forked"
    NO_CHECKPOINT = "no-checkpoint"
    DAMAGED_HEAD = "damaged-head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stored record: where it stands, its canonical bytes, the leaf hash stored beside it."""

    position: int
    data: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What came out.

    ``checked`` records from the start are proven to be those that were signed. ``first_bad`` is the
    first position found wrong; what stands from ``checked`` up to it has no proof either way. Where
    only a signed batch as a whole is known to be wrong, ``first_bad`` is its first position and
    ``bad_end`` the position after its last.
    """

    ok: bool
    size: int
    checked: int
    first_bad: int | None = None
    bad_end: int | None = None
    flaw: Flaw | None = None
    reason: str = ""
    hint: str = ""


class _Bad(Exception):  # noqa: N818 - never leaves this module; carries the result out of the loop
    def __init__(self, flaw: Flaw, first: int, end: int | None, reason: str) -> None:
        super().__init__(reason)
        self.flaw, self.first, self.end, self.reason = flaw, first, end, reason


_HINTS = {
    Flaw.EDITED: "restore that record from a copy; treat the host as compromised",
    Flaw.MISSING: "restore the missing records from a copy; treat the host as compromised",
    Flaw.OUT_OF_ORDER: "restore the log from a copy; treat the host as compromised",
    Flaw.REWRITTEN: "trust the records before that position only; treat the host as compromised",
    Flaw.TRUNCATED: "restore the cut records from a copy; treat the host as compromised",
    Flaw.UNSIGNED_TAIL: "trust only the records before that position; the rest was never signed",
    Flaw.FORGED_CHECKPOINT: "compare audit.pub with the copy kept elsewhere",
    Flaw.FORKED: "the log's key signed two histories; treat the key as stolen",
    Flaw.NO_CHECKPOINT: "a log of ours is never without one; restore it from a copy",
    Flaw.DAMAGED_HEAD: "the records are as signed; restore the file from a copy before appending",
}


class _Heads:
    """The checkpoints in order of size, one looked ahead."""

    def __init__(self, notes: Iterable[bytes], verifier: Verifier) -> None:
        self._notes: Iterator[bytes] = iter(notes)
        self._verifier = verifier
        self.last: Checkpoint | None = None
        self.next: Checkpoint | None = None
        self.advance(0)

    def advance(self, trusted: int) -> None:
        """Read the next checkpoint; what stands from ``trusted`` on is in doubt if it is bad."""
        self.last = self.next or self.last
        self.next = None
        note = next(self._notes, None)
        if note is None:
            return
        try:
            self.next = parse_and_verify(note, self._verifier)
        except CheckpointError as error:
            raise _Bad(Flaw.FORGED_CHECKPOINT, trusted, None, error.message) from None
        if self.last is not None and self.next.size < self.last.size:
            size = self.next.size
            reason = f"the checkpoint of size {size} comes after a larger one"
            raise _Bad(Flaw.OUT_OF_ORDER, size, None, reason)


class _Walk:
    """The records so far, and what the checkpoints passed on the way said about them."""

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.trusted = 0
        self.before = 0
        self.doubt: _Bad | None = None

    def take(self, entry: Entry) -> None:
        expected = self.frontier.size
        if entry.position > expected:
            reason = f"records {expected} to {entry.position - 1} are gone"
            raise _Bad(Flaw.MISSING, expected, entry.position, reason)
        if entry.position < expected:
            first = max(entry.position, 0)
            reason = f"a record for position {entry.position} stands at {expected}"
            raise _Bad(Flaw.OUT_OF_ORDER, first, None, reason)
        leaf = leaf_hash(entry.data)
        if leaf != entry.leaf:
            reason = f"record {expected} is not the one that was hashed when it was written"
            raise _Bad(Flaw.EDITED, expected, expected + 1, reason)
        self.frontier = self.frontier.extend((leaf,))

    def meet(self, heads: _Heads) -> None:
        """Compare with every checkpoint of the present size."""
        while heads.next is not None and heads.next.size == self.frontier.size:
            if heads.next.root == self.frontier.root():
                self._agree()
            elif self.doubt is None:
                self._disagree()
            heads.advance(self.trusted)

    def _agree(self) -> None:
        if self.doubt is not None:
            reason = f"two signed checkpoints of one log disagree from record {self.doubt.first}"
            raise _Bad(Flaw.FORKED, self.doubt.first, self.doubt.end, reason)
        if self.trusted != self.frontier.size:
            self.before, self.trusted = self.trusted, self.frontier.size

    def _disagree(self) -> None:
        # Whether the records or this checkpoint are the odd one, only the next checkpoint tells.
        first, size = self.trusted, self.frontier.size
        if first == size:
            reason = f"two signed checkpoints of size {size} disagree"
            raise _Bad(Flaw.FORKED, self.before, None, reason)
        reason = f"records {first} to {size - 1} are not those that were signed"
        self.doubt = _Bad(Flaw.REWRITTEN, first, size, reason)


def verify(
    entries: Iterable[Entry], checkpoints: Iterable[bytes], verifier: Verifier
) -> VerifyResult:
    """Check the records, in order of position, against signed notes, in order of size.

    Raises nothing for a bad log: what is wrong is the result.
    """
    walk = _Walk()
    try:
        heads = _Heads(checkpoints, verifier)
        walk.meet(heads)
        for entry in entries:
            walk.take(entry)
            walk.meet(heads)
        _finish(walk, heads)
    except _Bad as found:
        # A doubt from an earlier batch is the lower position, and the one to name.
        doubt = walk.doubt
        bad = doubt if doubt is not None and doubt.first < found.first else found
        return VerifyResult(
            ok=False,
            size=walk.frontier.size,
            checked=walk.trusted,
            first_bad=bad.first,
            bad_end=bad.end,
            flaw=bad.flaw,
            reason=bad.reason,
            hint=_HINTS[bad.flaw],
        )
    return VerifyResult(ok=True, size=walk.frontier.size, checked=walk.trusted)


def damaged_head(result: VerifyResult, reason: str) -> VerifyResult:
    """Give the result for a log whose records verify but whose stored head does not fit them."""
    flaw = Flaw.DAMAGED_HEAD
    return VerifyResult(
        ok=False,
        size=result.size,
        checked=result.checked,
        flaw=flaw,
        reason=reason,
        hint=_HINTS[flaw],
    )


def _finish(walk: _Walk, heads: _Heads) -> None:
    size = walk.frontier.size
    if walk.doubt is not None:
        raise walk.doubt
    if heads.next is not None:
        end = heads.next.size
        reason = f"records {size} to {end - 1} were signed and are gone"
        raise _Bad(Flaw.TRUNCATED, size, end, reason)
    if heads.last is None:
        raise _Bad(Flaw.NO_CHECKPOINT, 0, None, "the log has no checkpoint at all")
    if heads.last.size < size:
        first = heads.last.size
        raise _Bad(Flaw.UNSIGNED_TAIL, first, size, f"records from {first} on were never signed")
