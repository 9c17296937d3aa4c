"""The product as a person drives it: the command line, as a subprocess, nothing else.

Invariants:
1. Every answer used here is one any user gets: exit code, JSON on standard output, files.
2. Output that is not what the command promises is an error, never an empty answer.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ringfence.apps.replay import keeper
from ringfence.apps.replay.world import World
from ringfence.chain.errors import Unavailable
from ringfence.chain.words import Json

PATIENCE = 60.0
WAITING = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One finished command: exit code, what it printed, what it left running."""

    code: int
    out: str
    err: str
    left: tuple[str, ...]


@dataclass(slots=True)
class Product:
    """The command line over one world. ``wrapper`` goes in front of every command."""

    world: World
    wrapper: tuple[str, ...] = ()
    said: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def call(
        self,
        *arguments: str,
        stdin: str = "",
        meanwhile: Callable[[int], None] | None = None,
    ) -> Done:
        """Run ``ringfence`` with these arguments to its end.

        ``meanwhile`` is called with the process id while the command runs. Raises Unavailable
        when it does not end in time.
        """
        report = self.world.root / "left.json"
        report.unlink(missing_ok=True)
        argv = [
            *(sys.executable, "-I", "-S", keeper.__file__, str(report), *self.wrapper),
            *(sys.executable, "-m", "ringfence.apps.cli", "--data-dir", str(self.world.data)),
            *arguments,
        ]
        with subprocess.Popen(  # noqa: S603 - our own command line, an argv list
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.world.environment(),
            cwd=self.world.root,
        ) as process:
            try:
                if meanwhile is not None:
                    meanwhile(process.pid)
                out, err = process.communicate(stdin, timeout=PATIENCE)
            except subprocess.TimeoutExpired as late:
                raise Unavailable(
                    "replay-timeout", f"ringfence {arguments[0]} took over {PATIENCE:.0f} s"
                ) from late
            finally:
                if process.poll() is None:
                    process.terminate()
        left = tuple(json.loads(report.read_text())) if report.exists() else ()
        self.said += [out, err]
        self.left += left
        return Done(code=process.returncode, out=out, err=err, left=left)

    def put(self, name: str, value: str) -> None:
        """Store a secret, its value on standard input. Raises Unavailable when it is not kept."""
        done = self.call("secrets", "set", name, "--stdin", stdin=value)
        if done.code != 0:
            raise _unlike("secrets set", done.err)

    def run(self, chain: Mapping[str, Json]) -> Done:
        """Write the chain to a file and run it against the replay servers."""
        return self.run_bytes(json.dumps(chain, indent=1).encode())

    def run_bytes(self, chain: bytes, *, meanwhile: Callable[[int], None] | None = None) -> Done:
        """Run a chain file with exactly these bytes."""
        file = self.world.root / "chain.json"
        file.write_bytes(chain)
        names = self.world.root / "names.json"
        names.write_text(json.dumps(self.world.addresses.names()))
        return self.call(
            *("run", str(file), "--json", "--unsafe-resolver-map", str(names)),
            *("--extra-ca", str(self.world.servers.authority)),
            meanwhile=meanwhile,
        )

    def reviews(self) -> list[dict[str, Json]]:
        """Give the reviews that wait for a person."""
        body = self._json(self.call("review", "list", "--json"))
        found = body.get("reviews") if isinstance(body, dict) else body
        if not isinstance(found, list):
            raise _unlike("review list", str(body))
        return [review for review in found if isinstance(review, dict)]

    def answer(self, review: str, verdict: str, reason: str) -> Done:
        """Approve or reject one review; the run goes on."""
        return self.call("review", verdict, review, "--reason", reason)

    def records(self, run: str | None) -> list[dict[str, Json]]:
        """Give the audit records of a run, or all of them."""
        chosen = ("--run", run) if run else ()
        done = self.call("audit", "show", "--json", *chosen)
        if done.code != 0:
            raise _unlike("audit show", done.err)
        return [json.loads(line) for line in done.out.splitlines() if line.strip()]

    def report(self, run: str) -> str:
        """Write the report of a run and give its path."""
        done = self.call("runs", "show", run, "--report")
        if done.code != 0 or not done.out.strip():
            raise _unlike("runs show --report", done.err)
        return done.out.strip().splitlines()[-1]

    def verified(self) -> bool:
        """Say whether the audit log verifies."""
        return self.call("audit", "verify").code == 0

    def outcome(self, done: Done) -> dict[str, Json]:
        """Give the JSON object a run printed. Raises Unavailable when it printed none."""
        body = self._json(done)
        if not isinstance(body, dict):
            raise _unlike("run", done.out)
        return body

    def _json(self, done: Done) -> dict[str, Json] | list[Json]:
        try:
            body = json.loads(done.out)
        except ValueError as error:
            raise _unlike("ringfence", f"{done.out}{done.err}") from error
        if not isinstance(body, dict | list):
            raise _unlike("ringfence", done.out)
        return body


def _unlike(command: str, text: str) -> Unavailable:
    return Unavailable(
        "replay-unlike-contract",
        f"{command} did not answer as promised: {text.strip()[-600:]}",
        hint="run the command by hand with the same arguments",
    )
