"""The digest of a plan is of everything a box will be, and of nothing that is secret."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from ringfence.engine.plan import (
    BoxLimits,
    EnvVar,
    Mount,
    MountKind,
    PlannedRoute,
    RunPlan,
    WorkspacePlan,
)

ROUTE = PlannedRoute(
    host="api.test", port=443, scheme="https", methods=("GET",), paths=("/v1/*",),
    action="allow", rule="c.yaml:7:3",
)  # fmt: skip
PLAN = RunPlan(
    run="r1",
    agent="writer",
    attempt=1,
    backend="native",
    level="L3",
    argv=("/usr/bin/python3", "w.py"),
    cwd="/work",
    terminal=False,
    env=(EnvVar(name="LANG", value="C.UTF-8"), EnvVar(name="API_TOKEN", secret="TOKEN")),
    mounts=(Mount(target="/usr", kind=MountKind.READ_ONLY, source="/usr", rule="system"),),
    workspace=WorkspacePlan(directory="/w", target="/work", access="write", layer="/l"),
    routes=(ROUTE,),
    secrets=("TOKEN",),
    limits=BoxLimits(),
)
CHANGES = {
    "run": "r2",
    "agent": "other",
    "attempt": 2,
    "backend": "docker",
    "level": "L4",
    "argv": ("/usr/bin/python3", "x.py"),
    "cwd": "/",
    "terminal": True,
    "env": PLAN.env[:1],
    "mounts": (replace(PLAN.mounts[0], kind=MountKind.READ_WRITE),),
    "workspace": None,
    "routes": (replace(ROUTE, paths=("/*",)),),
    "secrets": (),
    "limits": replace(PLAN.limits, memory_bytes=1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_is_in_the_digest(name: str) -> None:
    """A plan that differs anywhere, also deep inside, has another digest."""
    assert replace(PLAN, **{name: CHANGES[name]}).digest != PLAN.digest


def test_no_field_is_left_out() -> None:
    """The list above covers the whole plan."""
    assert set(CHANGES) == set(PLAN.to_json())


def test_the_same_plan_has_the_same_digest() -> None:
    """Also when it is computed by another process, from the JSON form."""
    assert replace(PLAN).digest == PLAN.digest
    code = (
        "import json, sys; from ringfence.chain.canonical import digest;"
        "print(digest(json.load(sys.stdin)))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(PLAN.to_json()),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert elsewhere.stdout.strip() == PLAN.digest


def test_a_plan_is_plain_json_and_names_secrets_only() -> None:
    """It survives a round trip; a variable of a secret has its name and no value."""
    body = json.loads(json.dumps(PLAN.to_json()))
    assert body["env"][1] == {"name": "API_TOKEN", "value": "", "secret": "TOKEN"}
    assert body["mounts"][0]["kind"] == "read-only"
