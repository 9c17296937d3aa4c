"""Holds boxes for the tests, in a process of its own: as root or as a plain user.

Reads one JSON request per line and answers with one JSON line. Standard library and the sandbox
room only, so that the system's Python can run it under a uid that sees nothing of ours.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from ringfence.chain.errors import RingfenceError
from ringfence.engine.box import Stdio
from ringfence.engine.plan import BoxLimits, EnvVar, Mount, MountKind, RunPlan, WorkspacePlan
from ringfence.sandbox import bwrap, seccomp, tools, workspace
from ringfence.sandbox.native import NativeBackend

ALLOW_ALL = b"\x06\x00\x00\x00\x00\x00\xff\x7f"


class Unlocked(NativeBackend):
    """The backend with a door to take one lock away, for the proof that the lock holds."""

    without: list = None
    filters = True

    def _compile(self, plan: RunPlan, placeholders: Mapping[str, str]) -> bwrap.BoxSpec:
        spec = bwrap.compile_box(plan, placeholders, proc=self._proc)
        assert all(tuple(line) in spec.image for line in self.without or [])
        image = tuple(line for line in spec.image if list(line) not in (self.without or []))
        return bwrap.BoxSpec(image=image, args=spec.args, command=spec.command)

    def _program(self, stage: seccomp.Stage) -> bytes:
        if self.filters == "crippled":
            return super()._program(seccomp.Stage.BOX)
        return super()._program(stage) if self.filters else ALLOW_ALL


def plan_of(request: dict) -> RunPlan:
    """Build a plan from what a test asks for and sensible rest."""
    mounts = [*tools.system_mounts()]
    mounts += [
        Mount(target=t, kind=MountKind(k), source=s, size_bytes=n, rule="test")
        for t, k, s, n in request.get("mounts", [])
    ]
    work = request.get("workspace")
    return RunPlan(
        run="run",
        agent="agent",
        attempt=1,
        backend=request.get("backend", "native"),
        level="L3",
        argv=tuple(request["argv"]),
        cwd=request.get("cwd", "/work" if work else "/home/agent"),
        terminal=request.get("terminal", False),
        env=(
            EnvVar(name="PATH", value="/usr/bin:/bin"),
            EnvVar(name="HOME", value="/home/agent"),
            *(EnvVar(name=n, value=v) for n, v in request.get("env", {}).items()),
            *(EnvVar(name=n, secret=s) for n, s in request.get("secrets", {}).items()),
        ),
        mounts=tuple(mounts),
        workspace=WorkspacePlan(target="/work", **work) if work else None,
        routes=(),
        secrets=tuple(request.get("secrets", {}).values()),
        limits=BoxLimits(**request.get("limits", {})),
    )


def collect(fd: int) -> bytes:
    """Read to the end."""
    pieces = []
    while piece := os.read(fd, 65536):
        pieces.append(piece)
    return b"".join(pieces)


def hold(backend: Unlocked, request: dict) -> dict:
    """Run one box to its end and say everything about it."""
    backend.without = request.get("without", [])
    backend.filters = request.get("filters", True)
    backend._copy = request.get("copy", False)
    read, write = os.pipe()
    stdin = os.memfd_create("stdin")
    os.write(stdin, request.get("stdin", "").encode())
    os.lseek(stdin, 0, os.SEEK_SET)
    master = slave = -1
    streams = Stdio(stdin=stdin, stdout=write, stderr=write)
    if request.get("terminal"):
        master, slave = os.openpty()
        streams = Stdio(stdin=slave, stdout=slave, stderr=slave)
    try:
        box = backend.start(plan_of(request), streams, request.get("placeholders", {}))
    except RingfenceError as error:
        os.close(write)
        return {
            "kind": type(error).__name__,
            "error": error.to_json(),
            "out": collect(read).decode(),
        }
    os.close(write)
    if slave >= 0:
        os.close(slave)
    answer = {"mark": box.mark, "workspace": box.workspace_kind}
    answer["enforced"] = [[e.limit, e.by, e.whole_box] for e in box.bounds.enforced]
    if request.get("accept"):
        answer["accepted"] = accept(box.listener)
    if request.get("kill_at") is not None:
        wanted = request["kill_at"].encode()
        seen = b""
        while wanted not in seen:
            seen += os.read(read, 4096) or wanted
        box.kill("test")
    if master >= 0:
        chunks = []
        with contextlib.suppress(OSError):
            while piece := os.read(master, 4096):
                chunks.append(piece)
        answer["out"] = b"".join(chunks).decode("utf-8", "replace")
        os.close(master)
        box.wait(request.get("seconds", 30))
        collect(read)
    else:
        timer = threading.Timer(request.get("seconds", 30), box.kill, ["too slow"])
        timer.start()
        answer["out"] = collect(read).decode("utf-8", "replace")
        timer.cancel()
    ended = box.wait(request.get("seconds", 30))
    answer |= {"code": ended.code, "ended_by": ended.ended_by} if ended else {"code": None}
    box.close()
    os.close(read)
    os.close(stdin)
    return answer


def accept(listener: int) -> str:
    """Take one connection as the broker would, and answer it."""
    with socket.socket(fileno=os.dup(listener)) as server:
        server.settimeout(20)
        connection, _ = server.accept()
        with connection:
            text = connection.recv(100).decode()
            connection.sendall(b"from the broker")
            return text


def unboxed(request: dict) -> dict:
    """Run the same command without any box: the proof that the attack works."""
    done = subprocess.run(
        request["argv"], capture_output=True, cwd="/", timeout=30, check=False,
        input=request.get("stdin", "").encode(), pass_fds=request.get("pass_fds", []),
    )  # fmt: skip
    return {"code": done.returncode, "out": (done.stdout + done.stderr).decode("utf-8", "replace")}


def many(backend: Unlocked, request: dict) -> dict:
    """Run the same request in N boxes at once."""
    answers: list[dict] = []
    threads = [
        threading.Thread(target=lambda: answers.append(hold(backend, request)))
        for _ in range(request["count"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"answers": answers}


def main(state: str) -> None:
    """Serve requests until the end of standard input."""
    backend = Unlocked(state_dir=Path(state))
    print(json.dumps({"launcher": launcher_pid(), "pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        match request.get("do", "box"):
            case "box":
                answer = hold(backend, request)
            case "unboxed":
                answer = unboxed(request)
            case "many":
                answer = many(backend, request)
            case "discard":
                workspace.discard(Path(request["layer"]))
                answer = {"left": Path(request["layer"]).exists()}
            case "reap":
                answer = {"ended": backend.reap(request["mark"])}
            case "stay":
                box = backend.start(plan_of(request), Stdio(stdin=0, stdout=2, stderr=2), {})
                answer = {"mark": box.mark}
            case _:
                answer = {}
        print(json.dumps(answer), flush=True)
    backend.close()


def launcher_pid() -> int:
    """Give the pid of the launcher this process started."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"launcher.py" in (entry / "cmdline").read_bytes():
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[1]) == os.getpid():
                    return int(entry.name)
    return 0


if __name__ == "__main__":
    main(sys.argv[1])
