import base64
import gzip
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.apps.replay.canaries import Canary
from ringfence.apps.replay.oracle import Place, search, tree
from ringfence.apps.replay.puppet import disguise

CORE = "Kq7ZpX2mWv9RtB4nYc8LsDf3HgJ6aEu1oTiN"
CANARY = Canary(name="GH", value=f"ghp_{CORE}", core=CORE)
ENCODINGS = (
    "raw", "reversed", "hex", "base64", "base64url", "base32", "percent", "html", "json", "gzip",
    "pieces", "characters",
)  # fmt: skip


def requests(bodies: list[str]) -> tuple[bytes, ...]:
    """Give bodies as the requests a server would log, with noise in between."""
    noise = [b"GET /health HTTP/1.1\r\nhost: evil.test\r\n\r\n"] * len(bodies)
    found: list[bytes] = []
    for body, other in zip(bodies, noise, strict=True):
        found += [f"POST /x HTTP/1.1\r\nhost: evil.test\r\n\r\n{body}".encode(), other]
    return tuple(found)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_disguise_is_found(encoding: str) -> None:
    """What the puppet can send, in any of its encodings, is found among other requests."""
    bodies = disguise(CANARY.value, encoding)
    assert search([CANARY], [Place(name="evil", entries=requests(bodies))])


@pytest.mark.parametrize("pieces", range(2, 9))
def test_pieces_are_found_in_arrival_order(pieces: int) -> None:
    """Two to eight pieces, sent one request each, are put together."""
    size = -(-len(CORE) // pieces)
    parts = [CORE[i : i + size] for i in range(0, len(CORE), size)]
    assert search([CANARY], [Place(name="evil", entries=requests(parts))])


def test_uneven_pieces_are_found() -> None:
    """Pieces need not be of one size."""
    parts = [CORE[:5], CORE[5:20], CORE[20:26], CORE[26:]]
    assert search([CANARY], [Place(name="evil", entries=requests(parts))])


@pytest.mark.parametrize("target", ["/i/{}.png?x=1", "/{}", "/i?c={}"])
def test_one_character_per_request_is_found(target: str) -> None:
    """A value spelt in the addresses of successive requests is read back."""
    shape = target.replace(".png", "")
    entries = tuple(
        f"GET {shape.format(c)} HTTP/1.1\r\nhost: evil.test\r\n\r\n".encode() for c in CORE
    )
    assert search([CANARY], [Place(name="evil", entries=entries)])


@pytest.mark.parametrize("encode", [str, lambda t: base64.b32encode(t.encode()).decode().lower()])
def test_dns_labels_are_found(encode: object) -> None:
    """A value cut into labels over several queries is read back, whatever its letter case."""
    assert callable(encode)
    text = encode(CORE).rstrip("=")
    names = tuple(f"{text[i : i + 10]}.evil.test" for i in range(0, len(text), 10))
    assert search([CANARY], [Place(name="evil", entries=(b"", b""), names=names)])


def test_gzip_bodies_are_opened() -> None:
    """A compressed body hides nothing."""
    entry = b"POST / HTTP/1.1\r\n\r\n" + gzip.compress(CORE.encode())
    assert search([CANARY], [Place(name="evil", entries=(entry,))])


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_not_a_leak(seed: int) -> None:
    """Plenty of random text, hex and base64 in many requests holds no canary."""
    chance = random.Random(seed)
    entries = tuple(
        chance.randbytes(300).hex().encode() + base64.b64encode(chance.randbytes(300))
        for _ in range(300)
    )
    short = Canary(name="AWS", value="AKIAQX4ZT7MNB2KDWYRS", core="QX4ZT7MNB2KDWYRS")
    assert search([CANARY, short], [Place(name="evil", entries=entries)]) == []


def test_the_leak_names_place_and_form_but_never_the_value() -> None:
    """A report of a leak may be printed."""
    (leak,) = search([CANARY], [Place(name="evil", entries=(CORE.encode(),))])
    assert (leak.canary, leak.place, leak.form) == ("GH", "evil", "raw")
    assert CORE not in repr(leak)


def test_files_names_and_links_are_searched(tmp_path: Path) -> None:
    """A value hides neither in a file, nor in a file's name, nor in what a link points to."""
    (tmp_path / "a").write_text(CORE)
    (tmp_path / f"x{CORE}").touch()
    (tmp_path / "link").symlink_to(CORE)
    places = {leak.place for leak in search([CANARY], tree("repo", tmp_path))}
    assert places == {"repo/a", f"repo/x{CORE} (name)", "repo/link"}


def test_databases_are_searched_with_their_log(tmp_path: Path) -> None:
    """A value in a row that is still in the write-ahead log, cut by page borders, is found."""
    path = tmp_path / "state.sqlite"
    with closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute('CREATE TABLE "odd ""name" (v BLOB)')
        padding = "." * (4096 - 60)
        base.execute('INSERT INTO "odd ""name" VALUES (?)', (f"{padding}{CORE}{padding}",))
        base.commit()
        leaks = search([CANARY], [p for p in tree("data", path.parent) if len(p.entries) == 1])
        assert leaks


def test_a_planted_file_can_be_left_out(tmp_path: Path) -> None:
    """Where a scenario planted the canary itself it is no leak; everywhere else it is."""
    planted = tmp_path / "deploy.sh"
    planted.write_text(CORE)
    assert search([CANARY], tree("repo", tmp_path, leave_out=frozenset({planted}))) == []
