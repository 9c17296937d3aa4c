"""The whole product as a plain user: no root, no capability, an interpreter anybody can read."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import ringfence

pytestmark = pytest.mark.box

UID = 1001
# What only builds and checks the project; a run needs none of it.
NOT_NEEDED = shutil.ignore_patterns(
    "pip", "pip-*", "mypy*", "*mypyc*", "ruff*", "uv*", "hypothesis*", "setuptools*", "grimp*",
    "*.pth", "__pycache__",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A plain user with a home, a data directory and a command line."""

    home: Path
    prefix: tuple[str, ...]
    python: str

    def __call__(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command as this user."""
        data = str(self.home / "data")
        return subprocess.run(
            [*self.prefix, self.python, "-m", "ringfence.apps.cli", "--data-dir", data, *args],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.home,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8"},
            timeout=100,
            check=False,
        )


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that a plain user can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="ringfence-plain-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def interpreter(place: Path) -> str:
    """An interpreter with the product and what it needs, outside of root's own directories."""
    if os.geteuid() != 0:
        return sys.executable
    system = "/usr/bin/python3"
    version = subprocess.run([system, "-V"], capture_output=True, text=True, timeout=30, check=True)
    ours = f"Python {sys.version_info.major}.{sys.version_info.minor}."
    assert version.stdout.startswith(ours), f"{system} is not {ours}x: its packages do not load"
    uv = Path(sys.prefix) / "bin" / "uv"
    subprocess.run(
        [str(uv), "venv", "-q", "--offline", "--no-config", "--python", system, place / "venv"],
        timeout=60, check=True,
    )  # fmt: skip
    shutil.copytree(sysconfig.get_path("purelib"), place / "packages", ignore=NOT_NEEDED)
    shutil.copytree(Path(ringfence.__file__).parent, place / "packages" / "ringfence")
    (site,) = (place / "venv" / "lib").glob("python3.*/site-packages")
    (site / "ringfence.pth").write_text(f"{place / 'packages'}\n")
    subprocess.run(["chmod", "-R", "a+rX", str(place)], timeout=60, check=True)
    return str(place / "venv" / "bin" / "python")


@pytest.fixture
def plain(place: Path, interpreter: str) -> Iterator[Plain]:
    """A plain user with an empty home."""
    home = Path(tempfile.mkdtemp(prefix="home-", dir=place))
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        os.chown(home, UID, UID)
        prefix = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--")
    yield Plain(home=home, prefix=prefix, python=interpreter)
    shutil.rmtree(home, ignore_errors=True)


def test_the_user_of_these_tests_is_plain(plain: Plain) -> None:
    """Neither root nor with a capability; otherwise the tests below would prove nothing new."""
    code = "import os; print(os.geteuid(), open('/proc/self/status').read())"
    done = subprocess.run(
        [*plain.prefix, plain.python, "-c", code],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert not done.stdout.startswith("0 ")
    (capabilities,) = [line for line in done.stdout.splitlines() if line.startswith("CapEff:")]
    assert int(capabilities.split()[1], 16) == 0


def test_two_agents_run_from_end_to_end(plain: Plain) -> None:
    """Hand-off, workspace, a secret's placeholder, merge and record work without root."""
    (plain.home / "ws").mkdir()
    (plain.home / "ws" / "f").write_text("old")
    if os.geteuid() == 0:
        for path in (plain.home / "ws", plain.home / "ws" / "f"):
            os.chown(path, UID, UID)
    value = "ghp_" + "Zq7" * 12
    first = (
        "import os\n"
        "open('f', 'w').write('new')\n"
        "open(os.environ['RINGFENCE_OUTPUT'], 'w').write(os.environ['API_TOKEN'] + ' hello')"
    )
    second = (
        "import os\n"
        "text = open(os.environ['RINGFENCE_INPUT']).read().split()\n"
        "open(os.environ['RINGFENCE_OUTPUT'], 'w').write(text[1].upper())\n"
        "print(os.getuid() != 0)"
    )
    agents = [
        {
            "name": "one", "type": "script", "run": ["python3", "-c", first],
            "triggers": ["chain:start"], "emits": ["one:done"], "output": "one.txt",
            "workspace": {"type": "local", "directory": "ws"}, "merge": "auto",
            "network": [{"host": "api.test"}],
            "secrets": [{"name": "TOKEN", "host": "api.test", "env": "API_TOKEN"}],
        },
        {
            "name": "two", "type": "script", "run": ["python3", "-c", second],
            "triggers": ["one:done"], "emits": ["chain:complete"],
            "input": "one.txt", "output": "two.txt",
        },
    ]  # fmt: skip
    (plain.home / "c.json").write_text(json.dumps({"name": "two", "agents": agents}))
    assert plain("secrets", "set", "TOKEN", "--stdin", stdin=value).returncode == 0
    done = plain("run", "c.json", "--json")
    assert done.returncode == 0, done.stderr
    run = plain.home / "data" / "runs" / json.loads(done.stdout)["run"]
    assert (run / "files" / "two.txt").read_text() == "HELLO"
    assert value not in (run / "files" / "one.txt").read_text()
    assert (plain.home / "ws" / "f").read_text() == "new"
    assert plain("audit", "verify").stdout.startswith("audit verify: ok")


def test_a_replayed_attack_is_held(plain: Plain) -> None:
    """S13: every attack lands without the guard and none with it."""
    done = plain("demo", "--attack", "s13", "--keep", str(plain.home / "kept"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    body = json.loads(done.stdout)
    assert body["passed"]
    assert body["attacks"]
    assert all(attack["off"] and not attack["on"] for attack in body["attacks"])


def test_a_data_directory_that_cannot_be_written_stops_everything(plain: Plain) -> None:
    """Guard off: writable, the same command runs. Read-only: an error with a hint, no traceback."""
    assert plain("exec", "--", "true").returncode == 0
    data = plain.home / "data"
    kept = {path: path.stat().st_mode & 0o777 for path in (*data.iterdir(), data)}
    for path, mode in kept.items():
        path.chmod(mode & 0o555)
    marker = plain.home / "ran"
    for command in (
        ("exec", "--merge", "auto", "--", "touch", marker.name),
        ("secrets", "set", "A", "--stdin"),
    ):
        done = plain(*command, stdin="some-value")
        assert done.returncode in {1, 2, 4}, done.stdout
        assert "error: " in done.stderr
        assert "hint: " in done.stderr
        assert "Traceback" not in done.stderr
        assert "internal-error" not in done.stderr
    for path, mode in kept.items():
        path.chmod(mode)
    assert not marker.exists()


def test_another_users_data_directory_is_refused(plain: Plain) -> None:
    """Whoever owns it could read and change everything in it."""
    done = plain("--data-dir", "/usr", "secrets", "list")
    assert done.returncode == 2
    assert "data-dir-open-to-others" in done.stderr
