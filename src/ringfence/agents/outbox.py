"""Read the event proposals a hostile agent left in its outbox directory.

Invariants:
1. Everything is opened by descriptor below the directory's own, without following a link and
   without blocking; only regular files with one name are read.
2. Size, number and depth are bounded before anything is read.
3. A proposal is what the content says in strict JSON. The file's name never matters: a file that
   cannot be read is rejected, it never becomes an event by its name.

A proposal is a wish. Whether the event may be emitted is `policy`'s to say.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.agents.plain import plain
from ringfence.chain.errors import Unavailable
from ringfence.chain.grammar import EVENT
from ringfence.checks.strict_json import NotStrictJson, read_json

MAX_FILES = 64
MAX_BYTES = 4 * 1024
LONGEST_NOTE = 500

_EVENT = re.compile(rf"{EVENT}\Z")
LONGEST_EVENT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One event the agent would like to see; ``note`` is harmless text in the agent's words."""

    event: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The proposals in the order the files were last written, each event once, and why others
    were not read.
    """  # noqa: D205 - two things, one sentence

    proposals: tuple[Proposal, ...]
    rejected: tuple[str, ...]


def read_outbox(directory: int) -> Outbox:
    """Read the outbox open at descriptor ``directory``, after the agent has ended.

    Raises Unavailable when the directory itself cannot be listed.
    """
    accepted: list[tuple[int, Proposal]] = []
    rejected: list[str] = []
    for number, name in enumerate(_names(directory)):
        if number == MAX_FILES:
            rejected.append(f"more than {MAX_FILES} files")
            break
        try:
            accepted.append(_read(directory, name))
        except NotStrictJson as error:
            rejected.append(f"{_shown(name)}: {error}")
        except OSError as error:
            rejected.append(f"{_shown(name)}: {error.strerror}")
    accepted.sort(key=lambda pair: (pair[0], pair[1].event))
    once = {proposal.event: proposal for _, proposal in reversed(accepted)}
    ordered = [proposal for _, proposal in accepted if once.get(proposal.event) is proposal]
    return Outbox(proposals=tuple(ordered), rejected=tuple(rejected))


def _names(directory: int) -> Iterator[str]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                yield entry.name
    except OSError as error:
        raise Unavailable(
            "outbox-unreadable", f"the outbox cannot be listed: {error.strerror}"
        ) from error


def _read(directory: int, name: str) -> tuple[int, Proposal]:
    # O_NONBLOCK: opening a FIFO for reading would wait for a writer that never comes.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(name, flags, dir_fd=directory)
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise NotStrictJson("not a regular file")
        if facts.st_nlink != 1:
            raise NotStrictJson("a file with several names")
        if facts.st_size > MAX_BYTES:
            raise NotStrictJson(f"longer than {MAX_BYTES} bytes")
        data = os.read(fd, MAX_BYTES + 1)
    finally:
        os.close(fd)
    return facts.st_mtime_ns, _proposal(data)


def _proposal(data: bytes) -> Proposal:
    value = read_json(data, max_bytes=MAX_BYTES, max_depth=2)
    if not isinstance(value, dict) or not set(value) <= {"event", "note"}:
        raise NotStrictJson('not an object with "event" and perhaps "note"')
    event, note = value.get("event"), value.get("note", "")
    if not isinstance(event, str) or len(event) > LONGEST_EVENT or not _EVENT.match(event):
        raise NotStrictJson('"event" is not a name such as "notes:drafted"')
    if not isinstance(note, str):
        raise NotStrictJson('"note" is not text')
    return Proposal(event=event, note=plain(note.encode())[:LONGEST_NOTE])


def _shown(name: str) -> str:
    return " ".join(plain(os.fsencode(name)).split())[:80]
