"""The small world one half of a replay happens in: a home, a repository, servers, canaries.

Invariants:
1. The unguarded and the guarded half get worlds of their own, laid out alike, with different
   canaries: nothing left over from one can be mistaken for the other.
2. Everything lies below one directory; the servers are on loopback.
"""

import hashlib
import os
import secrets
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.apps.replay import puppet
from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.canaries import Canaries, Canary, draw
from ringfence.apps.replay.cloud import Cloud
from ringfence.apps.replay.forge import Forge
from ringfence.apps.replay.servers import Servers
from ringfence.audit.record import EventName
from ringfence.chain.words import Json

SHARED = (Path("/tmp"), Path("/dev/shm"))  # noqa: S108 - looked at and cleaned, never relied on


@dataclass(slots=True, kw_only=True)
class World:
    """One half's world. ``mark`` is a word found nowhere else; ``started`` the agents that ran."""

    root: Path
    guarded: bool
    canaries: Canaries
    servers: Servers
    mark: str
    started: list[str] = field(default_factory=list)
    records: list[dict[str, Json]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The user's home, with a key and cloud credentials in it."""
        return self.root / "home"

    @property
    def repo(self) -> Path:
        """The user's repository, which agents work in."""
        return self.root / "repo"

    @property
    def data(self) -> Path:
        """The product's data directory; unused in the unguarded half."""
        return self.root / "data"

    @property
    def temporary(self) -> Path:
        """Where programs are told to put temporary files."""
        return self.root / "tmp"

    @property
    def plain(self) -> Path:
        """Where the unguarded runner keeps its files; unused in the guarded half."""
        return self.root / "plain"

    @property
    def addresses(self) -> Addresses:
        """Where the servers are."""
        return self.servers.addresses

    def got(self, host: str, *needles: str) -> bool:
        """Say whether one arrival at a server holds all of the needles."""
        wanted = [needle.encode() for needle in needles]
        return any(
            all(needle in arrival.raw for needle in wanted)
            for arrival in self.servers.arrivals(host)
        )

    def output(self, name: str) -> str:
        """Give the text of an agent's output file; empty when there is none."""
        root = self.data / "runs" if self.guarded else self.plain
        found = sorted(root.glob(f"**/files/{name}"))
        return found[0].read_text(errors="replace") if found else ""

    def lingering(self) -> list[int]:
        """Give the processes that carry this world's mark on their command line."""
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if self.mark.encode() in line.read_bytes():
                    found.append(int(line.parent.name))
        return found

    def clean(self) -> None:
        """Remove what an unguarded attack left outside the world."""
        for pid in self.lingering():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for root in SHARED:
            for path in root.glob(f"*{self.mark}*"):
                path.unlink(missing_ok=True)

    def agent(self, name: str, job: str, **fields: Json) -> dict[str, Json]:
        """Give the chain entry of a puppet with this job; fields as in a chain file."""
        jobs = self.repo / "jobs"
        jobs.mkdir(exist_ok=True)
        (jobs / f"{name}.txt").write_text(job)
        hosts = ",".join(f"{host}={at}" for host, at in self.addresses.names().items())
        access = fields.pop("access", "read")
        return {
            "name": name,
            "type": "script",
            "run": ["python3", "puppet.py", f"jobs/{name}.txt"],
            "prompt": "Do the job you are given.",
            "workspace": {"type": "local", "directory": self.repo.name, "access": access},
            "merge": "discard",
            "env": {"PUPPET_HOSTS": hosts, "PUPPET_DNS": f"evil.test:{self.addresses.dns}"},
            **fields,
        }

    def route(self, host: str, method: str, *paths: str, **fields: Json) -> dict[str, Json]:
        """Give a network rule of a chain file for one method at one replay server."""
        return {
            "host": host,
            "port": self.addresses.https,
            "methods": [method],
            "paths": list(paths),
            "allowPrivate": [f"{self.addresses.of(host)}/32"],
            **fields,
        }

    def environment(self) -> dict[str, str]:
        """Give the environment of the program that starts agents, in either half.

        The one value in it that no agent may ever see is the SRV canary.
        """
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "SRV_TOKEN": self.canaries.srv.value,
        }


def use(canary: Canary, host: str, env: str) -> dict[str, Json]:
    """Give a secret of a chain file: this canary, in the authorization header toward one host."""
    return {"name": canary.name, "host": host, "slot": "header:authorization", "env": env}


def lay(root: Path, addresses: Addresses, *, guarded: bool) -> World:
    """Lay a fresh world below ``root``; its servers start when they are entered."""
    canaries = draw()
    forge = Forge(token=canaries.gh.value)
    cloud = Cloud(tokens=frozenset({canaries.cloud.value, canaries.staging.value}))
    world = World(
        root=root,
        guarded=guarded,
        canaries=canaries,
        servers=Servers(root / "servers", forge, cloud, addresses),
        mark=f"mark{secrets.token_hex(8)}",
    )
    for directory in (world.home / ".ssh", world.home / ".aws", world.repo, world.temporary):
        directory.mkdir(parents=True)
    key = world.home / ".ssh" / "id_ed25519"
    key.write_text(canaries.host.value)
    key.chmod(0o600)
    text = f"[default]\naws_access_key_id = {canaries.aws.value}\n"
    (world.home / ".aws" / "credentials").write_text(text)
    shutil.copyfile(puppet.__file__, world.repo / "puppet.py")
    return world


def hashes(root: Path) -> dict[str, str]:
    """Give every path below ``root`` with what it is: a digest, a link's text, or "directory"."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            mode = path.stat().st_mode & 0o7777
            found[name] = f"{mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        else:
            found[name] = "directory"
    return found


def recorded(world: World, event: EventName, *needles: str) -> dict[str, Json] | None:
    """Give the first audit record of that event whose text holds all the needles."""
    for record in world.records:
        text = str(record)
        if record.get("event") == event.value and all(needle in text for needle in needles):
            return record
    return None
