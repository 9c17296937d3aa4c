"""Changes on hold: as JSON in a review's subject, and their content for whoever reviews them."""

import os
import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ringfence.chain.errors import InternalError, Refused
from ringfence.chain.words import Json
from ringfence.sandbox.workspace import Change, open_beneath, opened

_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def change_to_json(change: Change) -> dict[str, Json]:
    """Give a change as JSON; names that are not UTF-8 keep their bytes as hexadecimal."""
    body: dict[str, Json] = asdict(change)
    body["raw"] = os.fsencode(change.raw).hex()
    body["target"] = None if change.target is None else os.fsencode(change.target).hex()
    return body


def change_from_json(body: Mapping[str, Json]) -> Change:
    """Rebuild a change. Raises InternalError for what `change_to_json` did not write."""
    match dict(body):
        case {
            "path": str(path),
            "raw": str(raw),
            "kind": str(kind),
            "mode": int(mode),
            "target": str() | None as target,
            "size": int(size),
            "sha256": str() | None as sha256,
            "before_sha256": str() | None as before,
            **rest,
        } if not rest:
            return Change(
                path=path,
                raw=os.fsdecode(bytes.fromhex(raw)),
                kind=kind,
                mode=mode,
                target=None if target is None else os.fsdecode(bytes.fromhex(target)),
                size=size,
                sha256=sha256,
                before_sha256=before,
            )
    raise InternalError("review-damaged", "a stored change is not one of ours")


def read_change(layer: Path, change: Change, *, limit: int) -> bytes:
    """Read the new content of a changed file, without following a link; empty for other kinds.

    Raises Refused when the layer no longer holds a plain file of that size there, or when it is
    larger than ``limit`` bytes; OSError when it cannot be opened.
    """
    if change.kind != "file":
        return b""
    top = "tree" if (layer / "tree").is_dir() else "upper"
    with (
        opened(os.open(layer / top, _DIR)) as root,
        opened(open_beneath(root, change.raw, os.O_RDONLY | os.O_NONBLOCK)) as fd,
    ):
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != change.size:
            raise Refused("merge-changed", f"{change.path} is no longer what was held")
        if change.size > limit:
            raise Refused("merge-too-large", f"{change.path} is larger than {limit} bytes")
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(limit)
