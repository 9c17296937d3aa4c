"""What is held is stored exactly, and read back from a layer an agent has filled."""

import json
import os
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InternalError, Refused
from ringfence.sandbox.held import change_from_json, change_to_json, read_change
from ringfence.sandbox.workspace import Change, shown

NAMES = st.binary(min_size=1, max_size=40).map(lambda b: os.fsdecode(b.replace(b"\0", b"-")))
DIGESTS = st.none() | st.binary(max_size=20).map(lambda b: sha256(b).hexdigest())
CHANGES = st.builds(
    Change,
    path=NAMES.map(shown),
    raw=NAMES,
    kind=st.sampled_from(["file", "symlink", "dir", "deleted", "device"]),
    mode=st.integers(0, 0o7777),
    target=st.none() | NAMES,
    size=st.integers(0, 2**40),
    sha256=DIGESTS,
    before_sha256=DIGESTS,
)


@given(CHANGES)
def test_a_change_survives_storing(change: Change) -> None:
    """Any name and link target comes back byte for byte, also one that is no UTF-8."""
    stored = json.dumps(change_to_json(change)).encode()
    assert change_from_json(json.loads(stored)) == change


@pytest.mark.parametrize(
    "damage",
    [
        {"path": 1},
        {"raw": None},
        {"mode": "755"},
        {"size": None},
        {"target": 7},
        {"sha256": 7},
        {"more": 1},
    ],
    ids=str,
)
def test_a_change_that_is_not_ours_is_refused(damage: dict[str, object]) -> None:
    """The state database is untrusted input: a wrong type or one more key is no change."""
    good = change_to_json(Change(path="a", raw="a", kind="file", mode=0o644, size=1))
    assert change_from_json(good).path == "a"
    with pytest.raises(InternalError):
        change_from_json({**good, **damage})


@pytest.mark.parametrize("name", [f.name for f in fields(Change)])
def test_a_change_with_a_part_missing_is_refused(name: str) -> None:
    """Nothing is filled in by default."""
    body = change_to_json(Change(path="a", raw="a", kind="file", mode=0o644, size=1))
    del body[name]
    with pytest.raises(InternalError):
        change_from_json(body)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer with one changed file."""
    (tmp_path / "layer" / "upper" / "sub").mkdir(parents=True)
    (tmp_path / "layer" / "upper" / "sub" / "f").write_bytes(b"shown")
    return tmp_path / "layer"


HELD = Change(path="sub/f", raw="sub/f", kind="file", mode=0o644, size=5)


def test_the_content_is_read_from_either_kind_of_layer(layer: Path) -> None:
    """An overlay's upper directory, or the full copy where there is no overlay."""
    assert read_change(layer, HELD, limit=100) == b"shown"
    (layer / "upper").rename(layer / "tree")
    assert read_change(layer, HELD, limit=100) == b"shown"


@pytest.mark.parametrize("at", ["sub/f", "sub"])
def test_a_link_is_never_followed(layer: Path, tmp_path: Path, at: str) -> None:
    """Guard off: through the link the host's file is read. With it: an error, at any depth."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "f").write_bytes(b"hosts")
    place = layer / "upper" / at
    place.rename(layer / "upper" / "away")
    place.symlink_to(host / "f" if at == "sub/f" else host)
    assert (layer / "upper" / "sub" / "f").read_bytes() == b"hosts"
    with pytest.raises(OSError, match=r"symbolic|cross-device|Invalid"):
        read_change(layer, HELD, limit=100)


def test_a_file_of_another_size_or_kind_is_not_what_was_held(layer: Path) -> None:
    """Longer, shorter, or a pipe without a writer, which would block a plain open for ever."""
    file = layer / "upper" / "sub" / "f"
    for text in (b"shown!", b"show"):
        file.write_bytes(text)
        with pytest.raises(Refused) as changed:
            read_change(layer, HELD, limit=100)
        assert changed.value.code == "merge-changed"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(Refused):
        read_change(layer, HELD, limit=100)


def test_reading_is_bounded(layer: Path) -> None:
    """One byte over the limit is refused, not cut."""
    with pytest.raises(Refused) as large:
        read_change(layer, HELD, limit=4)
    assert large.value.code == "merge-too-large"


def test_other_kinds_have_no_content(tmp_path: Path) -> None:
    """Nothing is opened for a link, a directory or a deletion."""
    for kind in ("symlink", "dir", "deleted", "device"):
        assert read_change(tmp_path / "none", replace(HELD, kind=kind), limit=1) == b""
