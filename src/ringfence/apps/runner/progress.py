"""Progress lines: what the runner tells whoever follows it, one JSON object a line."""

import json
import sys
import threading

from ringfence.chain.words import Json

_LOCK = threading.Lock()


def tell(kind: str, **fields: Json) -> None:
    """Write one line; a follower that went away does not disturb the run."""
    line = json.dumps({"kind": kind, **fields}, separators=(",", ":"))
    with _LOCK:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            return
