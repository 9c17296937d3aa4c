"""Starting a run and following it: what ``run``, ``runs resume`` and ``review`` share.

Invariants:
1. The chain is read once; its exact bytes are kept in the run's directory and their digest is in
   the run's row and in the audit, so a resume can never run another chain.
2. The runner gets no environment of ours but a path, a locale and where the passphrase lies.
3. What the runner prints is data: lines of JSON with text that is already made harmless.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ringfence.apps.settings import DataDir
from ringfence.chain.errors import InputError, Unavailable
from ringfence.chain.words import Chain, Json
from ringfence.control.runs import RunRow, RunStatus
from ringfence.store.state import StateStore

BUSY = 3  # the runner's exit code when another one holds the run
MAX_CHAIN_BYTES = 256 * 1024 + 1
# What the runner needs of our environment beside a path and a locale.
PASSED_ON = ("RINGFENCE_PASSPHRASE_FILE",)
RUN_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A chain with the bytes it came from."""

    chain: Chain
    data: bytes


def read_chain(path: str, variables: Mapping[str, str]) -> Loaded:
    """Read, parse and check a chain file. Raises InputError with every error found."""
    from ringfence.apps.load import load  # noqa: PLC0415 - the YAML parser is not for every command

    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_CHAIN_BYTES)
    except OSError as error:
        raise InputError(
            "chain-unreadable", f"cannot read {path}: {error.strerror}", hint="check the path"
        ) from error
    return Loaded(chain=load(data, file=path, variables=variables), data=data)


def check_secrets(data: DataDir, chain: Chain) -> None:
    """Refuse a chain that needs a secret nobody stored. Raises InputError."""
    from ringfence.apps.opening import open_secrets  # noqa: PLC0415 - the runner starts before it

    uses = [use for agent in chain.agents for use in agent.secrets]
    if not uses:
        return
    with open_secrets(data) as vault:
        known = {entry.name for entry in vault.list()}
    for use in uses:
        if use.name not in known:
            raise InputError(
                "unknown-secret",
                f"secret {use.name!r} is not set",
                hint=f"ringfence secrets set {use.name}",
                where=use.where,
            )


def new_run_id(now: datetime) -> str:
    """Give a run id that sorts by time and cannot be guessed."""
    random = "".join(RUN_ID_ALPHABET[b % 32] for b in os.urandom(8))
    return f"r{now:%Y%m%d}-{random}"


def create_run(
    data: DataDir, loaded: Loaded, *, starter: str, variables: Mapping[str, str],
    settings: Mapping[str, Json], file: str,
) -> RunRow:  # fmt: skip
    """Store a new run with a snapshot of its chain.

    Raises Refused, before anything is stored, when the keys its record needs are not to be had.
    """
    from ringfence.apps.opening import open_keys  # noqa: PLC0415 - while the runner loads

    open_keys(data)
    now = datetime.now(UTC)
    row = RunRow(
        id=new_run_id(now),
        chain=loaded.chain.name,
        digest=loaded.chain.digest,
        file=str(Path(file).resolve()),
        starter=starter,
        status=RunStatus.CREATED,
        created=now,
        variables=dict(variables),
        settings=settings,
    )
    directory = data.run(row.id)
    for name in ("files", "steps"):
        (directory / name).mkdir(mode=0o700, parents=True)
    (directory / "chain").write_bytes(loaded.data)
    store = StateStore(data.state)
    try:
        store.add_run(row)
    finally:
        store.close()
    return row


@contextmanager
def starting(data: DataDir) -> Iterator["Runner"]:
    """Start a runner that loads its modules while the caller still prepares the run.

    A runner that is told no run ends by itself when the block is left.
    """
    command = [sys.executable, "-I", "-m", "ringfence.apps.runner", str(data.root)]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    for name in PASSED_ON:
        if name in os.environ:
            environment[name] = os.environ[name]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module, an argv list
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as process:
        runner = Runner(data, process)
        try:
            yield runner
        finally:
            runner.release()


class Runner:
    """A runner process that was not told its run yet, or follows one."""

    def __init__(self, data: DataDir, process: "subprocess.Popen[bytes]") -> None:
        self._data = data
        self._process = process

    def release(self) -> None:
        """Close the runner's standard input; without a run it then ends."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def follow(self, run: str, *, on_line: Callable[[dict[str, Json]], None]) -> RunRow:
        """Let it run a run until it stops, passing on its progress lines.

        An interrupt asks the runner to cancel; a second one ends it. Raises Unavailable when the
        runner died without saying how the run stands.
        """
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(run.encode() + b"\n")
        self.release()
        try:
            _relay(self._process, on_line)
        except KeyboardInterrupt:
            self._process.send_signal(signal.SIGTERM)
            _relay(self._process, on_line)
        store = StateStore(self._data.state)
        try:
            row = store.run(run)
        finally:
            store.close()
        if row.status in {RunStatus.CREATED, RunStatus.RUNNING}:
            code = self._process.wait()
            if code == BUSY:
                raise Unavailable(
                    "run-busy",
                    f"run {run} is already being run by another process",
                    hint=f"follow it there, or end it: ringfence runs cancel {run}",
                )
            raise Unavailable(
                "runner-died",
                f"the runner of {run} ended with code {code} before the run did",
                hint=f"ringfence runs resume {run}",
            )
        return row


def follow(data: DataDir, run: str, *, on_line: Callable[[dict[str, Json]], None]) -> RunRow:
    """Start a runner for a run and follow it; see `Runner.follow`."""
    with starting(data) as runner:
        return runner.follow(run, on_line=on_line)


def _relay(process: subprocess.Popen[bytes], on_line: Callable[[dict[str, Json]], None]) -> None:
    pipe = process.stdout
    if pipe is None:
        return
    try:
        for line in pipe:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                on_line(message)
                if message.get("kind") == "end":
                    # What is left is its own tidying up, which nobody has to wait for.
                    return
    except KeyboardInterrupt:
        if process.poll() is None:
            raise
