"""Boxes for the tests: held by a process of their own, as root and as a plain user."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ringfence
from ringfence.sandbox.workspace import discard

PLAIN = 1001
SYSTEM_PYTHON = "/usr/bin/python3"
HERE = Path(__file__).parent
# Hosts that lack something: root without its capability; no further user namespace.
POORER = {
    "poor": ("setpriv", "--bounding-set", "-sys_admin", "--"),
    "barred": (
        "unshare", "--user", "--map-root-user", "sh", "-c",
        'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh",
    ),
}  # fmt: skip


class Holder:
    """A process that holds boxes; `box` runs one to its end."""

    def __init__(self, identity: str, place: Path, source: Path) -> None:
        self.identity = identity
        self.place = place
        python = os.path.realpath(sys.executable) if identity != "plain" else SYSTEM_PYTHON
        ids = {"user": PLAIN, "group": PLAIN, "extra_groups": []} if identity == "plain" else {}
        self.process = subprocess.Popen(
            [*POORER.get(identity, ()), python, str(source / "holder.py"), str(place / "state")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "HOST_SECRET": "srv-7"},
            cwd="/",
            text=True,
            **ids,
        )
        self.hello = self._read()

    def _read(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the holder ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, **request: object) -> dict:
        """Send a request and give the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._read()

    def box(self, *argv: str, **more: object) -> dict:
        """Run a command in a box."""
        return self.ask(argv=list(argv), **more)

    def python(self, code: str, **more: object) -> dict:
        """Run Python code in a box."""
        return self.box(SYSTEM_PYTHON, "-c", code, **more)

    def unboxed(self, *argv: str, **more: object) -> dict:
        """Run a command without a box."""
        return self.ask(do="unboxed", argv=list(argv), **more)

    def close(self) -> None:
        """End the process in an orderly way, if it still lives."""
        self.process.communicate(timeout=30)


@pytest.fixture(scope="session")
def new_holder() -> Iterator[Callable[[str], Holder]]:
    """Give a function that starts a holder; what it starts is ended with the session."""
    started = []

    def start(identity: str) -> Holder:
        place = Path(tempfile.mkdtemp(prefix="rf-"))
        place.chmod(0o755)
        source = place / "src"
        shutil.copytree(Path(ringfence.__file__).parent, source / "ringfence")
        shutil.copy(HERE / "holder.py", source / "holder.py")
        (place / "state").mkdir()
        (place / "data").mkdir()
        if identity == "plain":
            for path in (place / "state", place / "data"):
                os.chown(path, PLAIN, PLAIN)
        holder = Holder(identity, place, source)
        started.append(holder)
        return holder

    yield start
    for holder in started:
        holder.close()
        discard(holder.place)


IDENTITIES = ["own", "plain"] if os.geteuid() == 0 else ["own"]


@pytest.fixture(scope="session", params=IDENTITIES)
def holder(request: pytest.FixtureRequest, new_holder: Any) -> Holder:
    """A holder under our own uid, and, when that is root, one under a plain uid too."""
    return new_holder(request.param)


@pytest.fixture
def tree(holder: Holder) -> Iterator[dict[str, str]]:
    """A small work tree and its layer, owned by whoever holds the boxes."""
    place = Path(tempfile.mkdtemp(dir=holder.place / "data"))
    work = place / "tree"
    (work / "src").mkdir(parents=True)
    (work / "src/app.py").write_text("print('one')\n")
    (work / "readme.txt").write_text("read me\n")
    if holder.identity == "plain":
        for path in (place, work, *work.rglob("*")):
            os.chown(path, PLAIN, PLAIN)
    yield {"directory": str(work), "layer": str(place / "layer"), "access": "write"}
    discard(place)
