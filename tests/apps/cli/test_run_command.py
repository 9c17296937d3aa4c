"""``ringfence run`` end to end: real boxes, real broker, real engine."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.box
Agent = Callable[..., dict[str, object]]

WRITE = "import os; open(os.environ['RINGFENCE_OUTPUT'], 'w').write({text!r})"


def test_three_agents_hand_files_on(person: Any, agent: Agent) -> None:
    """The second reads what the first wrote; the run succeeds and its record verifies."""
    upper = (
        "import os; text = open(os.environ['RINGFENCE_INPUT']).read();"
        "open(os.environ['RINGFENCE_OUTPUT'], 'w').write(text.upper())"
    )
    chain = person.chain(
        agent("one", WRITE.format(text="hello"), emits=["a:done"], output="a.txt"),
        agent("two", upper, triggers=["a:done"], emits=["b:done"], input="a.txt", output="b.txt"),
        agent("three", "print('end')", triggers=["b:done"]),
    )
    done = person("run", chain, "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    files = person.home / "data" / "runs" / done.json["run"] / "files"
    assert (files / "b.txt").read_text() == "HELLO"
    assert person("audit", "verify").out.startswith("audit verify: ok")
    events = [r["event"] for r in person.records(done.json["run"])]
    assert events[0] == "run.start"
    assert events[-1] == "run.finish"
    assert events.count("step.start") == events.count("step.finish") == 3


def test_fan_out_and_fan_in(person: Any, agent: Agent) -> None:
    """Two agents on one trigger; the last waits for both."""
    chain = person.chain(
        agent("left", "", emits=["l:done"]),
        agent("right", "", emits=["r:done"]),
        agent("join", "", triggers=["l:done", "r:done"]),
    )
    done = person("run", chain, "--json")
    assert done.code == 0, done.err
    order = [r["agent"] for r in person.records(done.json["run"]) if r["event"] == "step.start"]
    assert order[-1] == "join"
    assert sorted(order) == ["join", "left", "right"]


def test_a_failing_agent_fails_the_run_with_its_exit_code(person: Any, agent: Agent) -> None:
    """The reason names agent and code; nothing of its changes is merged."""
    chain = person.chain(agent("bad", "raise SystemExit(3)"))
    done = person("run", chain)
    assert done.code == 1
    assert "bad: exit code 3" in done.err


def test_retry_then_the_error_event(person: Any, agent: Agent) -> None:
    """Attempts are used up, then the fallback agent starts."""
    chain = person.chain(
        agent(
            "flaky",
            "raise SystemExit(1)",
            emits=["never:comes"],
            retry={"max_attempts": 2, "initial_delay_ms": 10},
            on_error="flaky:failed",
        ),
        agent("fallback", "", triggers=["flaky:failed"]),
        agent("unused", "", triggers=["never:comes"], emits=["x:done"]),
    )
    done = person("run", chain, "--json")
    assert done.code == 0, done.err
    attempts = [s for s in done.json["steps"] if s["agent"] == "flaky"]
    assert [s["attempt"] for s in attempts] == [1, 2]


def test_a_time_out_ends_every_descendant(person: Any, agent: Agent) -> None:
    """Also one that left its session and ignores signals."""
    code = (
        "import os, signal, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    os.execvp('sleep', ['sleep', '7331'])\n"
        "time.sleep(7331)"
    )
    chain = person.chain(agent("slow", code, timeout=1))
    done = person("run", chain)
    assert done.code == 1
    assert "timed out" in done.err
    assert subprocess.run(["pgrep", "-f", "sleep 7331"], check=False).returncode == 1


def test_a_missing_secret_is_named_with_the_command_that_sets_it(person: Any, agent: Agent) -> None:
    """The run is refused before anything starts."""
    chain = person.chain(
        agent(
            "needs",
            "",
            network=[{"host": "api.test"}],
            secrets=[{"name": "TOKEN", "host": "api.test", "env": "API_TOKEN"}],
        )
    )
    done = person("run", chain)
    assert done.code == 2
    assert "ringfence secrets set TOKEN" in done.err


def test_a_secret_in_the_environment_is_a_placeholder(person: Any, agent: Agent) -> None:
    """The degraded mode shows the value (so the probe works); the default never does."""
    value = "ghp_" + "Zq7" * 12
    person("secrets", "set", "TOKEN", "--stdin", stdin=value)
    probe = (
        "import os, hashlib\n"
        "token = os.environ['API_TOKEN']\n"
        "open(os.environ['RINGFENCE_OUTPUT'], 'w').write("
        "hashlib.sha256(token.encode()).hexdigest() + ' ' + token[:4] + ' ' + str(len(token)))"
    )
    import hashlib  # noqa: PLC0415 - compares digests so that no log ever holds the value

    real = hashlib.sha256(value.encode()).hexdigest()
    seen = {}
    for delivery in ("unsafe-env", "placeholder"):
        use = {"name": "TOKEN", "host": "api.test", "env": "API_TOKEN", "delivery": delivery}
        chain = person.chain(
            agent("probe", probe, output="seen.txt", network=[{"host": "api.test"}], secrets=[use])
        )
        done = person("run", chain, "--json")
        assert done.code == 0, done.err
        files = person.home / "data" / "runs" / done.json["run"] / "files"
        seen[delivery] = (files / "seen.txt").read_text().split()
    assert seen["unsafe-env"][0] == real
    assert seen["placeholder"][0] != real
    assert seen["placeholder"][1:] == ["ghp_", str(len(value))]


def test_an_output_is_scrubbed_before_it_is_stored(person: Any, agent: Agent) -> None:
    """A known value, even encoded, does not leave the step; without the value it stays as it is."""
    value = "sk-" + "a8Qx" * 12
    leak = (
        "import os, base64\n"
        "token = os.environ['API_TOKEN'].encode()\n"
        "open(os.environ['RINGFENCE_OUTPUT'], 'wb').write(b'x ' + base64.b64encode(token))"
    )
    person("secrets", "set", "TOKEN", "--stdin", stdin=value)
    use = {"name": "TOKEN", "host": "a.test", "env": "API_TOKEN", "delivery": "unsafe-env"}
    chain = person.chain(
        agent("leaks", leak, output="o.txt", network=[{"host": "a.test"}], secrets=[use])
    )
    done = person("run", chain, "--json")
    files = person.home / "data" / "runs" / done.json["run"] / "files"
    assert (files / "o.txt").read_bytes().startswith(b"x [redacted:TOKEN]")
    events = [r["event"] for r in person.records(done.json["run"])]
    assert "output.redact" in events


def test_a_forged_event_is_denied_and_starts_nobody(person: Any, agent: Agent) -> None:
    """An agent may propose only its own events; a file name proves nothing."""
    forge = (
        "import os, json\n"
        "box = os.environ['RINGFENCE_OUTBOX']\n"
        "json.dump({'event': 'deploy:approved'}, open(box + '/1.json', 'w'))\n"
        "open(box + '/deploy:approved.event', 'w').write('not json')\n"
        "json.dump({'event': 'work:done'}, open(box + '/2.json', 'w'))"
    )
    chain = person.chain(
        agent("forger", forge, emits=["work:done"]),
        agent("judge", "", triggers=["work:done"], emits=["deploy:approved", "chain:complete"]),
        agent("deploy", "", triggers=["deploy:approved"], emits=["deploy:done"]),
    )
    done = person("run", chain, "--json")
    records = person.records(done.json["run"])
    denied = [r for r in records if r["event"] == "event.deny"]
    assert {r.get("subject") for r in denied} >= {"deploy:approved"}
    judged = next(i for i, r in enumerate(records) if r.get("agent") == "judge")
    deployed = next(i for i, r in enumerate(records) if r.get("agent") == "deploy")
    assert judged < deployed


def test_bad_chains_say_where_and_how(person: Any) -> None:
    """Line, column, caret, hint; exit code 2; no traceback."""
    (person.work / "bad.yaml").write_text("name: x\nagents:\n  - name: a\n    promt: hi\n")
    done = person("run", "bad.yaml")
    assert done.code == 2
    assert "bad.yaml:4:5" in done.err
    assert "prompt" in done.err
    assert "Traceback" not in done.err


def test_a_secret_written_into_a_chain_is_refused(person: Any, agent: Agent) -> None:
    """The value is not repeated in the refusal."""
    value = "ghp_" + "a1B2" * 9
    chain = person.chain(agent("a", "", env={"GH_TOKEN": value}))
    done = person("run", chain)
    assert done.code == 2
    assert value not in done.err
    assert "ringfence secrets set" in done.err


def test_cancel_from_another_terminal(person: Any, agent: Agent) -> None:
    """The box ends, the run is cancelled, nothing further starts."""
    chain = person.chain(
        agent("long", "print('up'); import time; time.sleep(7332)", emits=["l:done"]),
        agent("after", "", triggers=["l:done"]),
    )
    with subprocess.Popen(
        person.command("run", chain), cwd=person.work, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        run = process.stderr.readline().split()[1].rstrip(":")
        for line in process.stderr:
            if "| up" in line:
                break
        assert person("runs", "cancel", run).code == 0
        process.stderr.read()
        assert process.wait(timeout=20) == 1
    assert subprocess.run(["pgrep", "-f", "time.sleep.7332"], check=False).returncode == 1
    assert "run.cancel" in [r["event"] for r in person.records(run)]


def runner_pid(person: Any) -> int:
    """Find the runner that works in a person's data directory."""
    found = subprocess.run(
        ["pgrep", "-f", f"ringfence.apps.runner {person.home}/data"],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(found.stdout.split()[0])


def test_a_killed_runner_resumes_without_repeating_finished_steps(
    person: Any, agent: Agent
) -> None:
    """Kill -9 in the second step: the first does not run again, the second does."""
    workspace = {"type": "local", "directory": "ws"}
    (person.work / "ws").mkdir()
    (person.work / "gate").mkdir()
    second = (
        "import time, os\nflag = os.path.exists('go')\nprint('up')\ntime.sleep(0 if flag else 7333)"
    )
    chain = person.chain(
        agent("first", WRITE.format(text="1"), emits=["f:done"], output="first.txt"),
        agent(
            "second", second, triggers=["f:done"], emits=["chain:complete"],
            workspace=workspace, merge="discard",
        ),
    )  # fmt: skip
    with subprocess.Popen(
        person.command("run", chain), cwd=person.work, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        run = process.stderr.readline().split()[1].rstrip(":")
        for line in process.stderr:
            if "| up" in line:
                break
        os.kill(runner_pid(person), signal.SIGKILL)
        text = process.stderr.read()
        assert process.wait(timeout=20) == 1
    assert f"ringfence runs resume {run}" in text
    deadline = time.monotonic() + 5
    while subprocess.run(["pgrep", "-f", "sleep.*7333"], check=False).returncode == 0:
        assert time.monotonic() < deadline, "an orphan survived its runner"
    (person.work / "ws" / "go").touch()
    done = person("runs", "resume", run, "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    records = person.records(run)
    starts = [r["agent"] for r in records if r["event"] == "step.start"]
    assert starts == ["first", "second", "second"]
    reaped = next(i for i, r in enumerate(records) if r["event"] == "step.reap")
    assert records[reaped]["agent"] == "second"
    assert [r["event"] for r in records[reaped:]].count("step.start") == 1
    assert person("audit", "verify").code == 0


def test_a_pending_review_survives_a_killed_runner(person: Any, agent: Agent) -> None:
    """The question is still there, is answered once, and the run goes on from it."""
    chain = person.chain(
        agent("write", WRITE.format(text="report"), emits=["w:done"], output="r.txt"),
        {
            "name": "gate",
            "type": "gate",
            "triggers": ["w:done"],
            "emits": ["g:ok"],
            "input": "r.txt",
            "review": "always",
        },
        agent("publish", "", triggers=["g:ok"]),
    )
    with subprocess.Popen(
        person.command("run", chain, "--wait"), cwd=person.work, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "asks:" in line:
                break
        os.kill(runner_pid(person), signal.SIGKILL)
        process.stderr.read()
        process.wait(timeout=20)
    (review,) = json.loads(person("review", "list", "--json").out)["reviews"]
    shown = person("review", "show", review["id"])
    assert "report" in shown.out
    done = person("review", "approve", review["id"], "--reason", "read it", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    again = person("review", "approve", review["id"], "--reason", "twice")
    assert again.code == 4
    assert "review-not-pending" in again.err


def test_a_run_rests_at_a_review_and_a_rejection_ends_it(person: Any, agent: Agent) -> None:
    """Exit code 5; after the rejection the publisher never started."""
    chain = person.chain(
        agent("write", WRITE.format(text="report"), emits=["w:done"], output="r.txt"),
        {"name": "ask", "type": "review", "triggers": ["w:done"], "emits": ["a:ok"],
         "input": "r.txt", "prompt": "Publish the report?"},
        agent("publish", "", triggers=["a:ok"]),
    )  # fmt: skip
    done = person("run", chain, "--json")
    assert (done.code, done.json["status"]) == (5, "waiting"), done.err
    review = done.json["reviews"][0]["id"]
    rejected = person("review", "reject", review, "--reason", "no", "--json")
    assert (rejected.code, rejected.json["status"]) == (1, "failed"), rejected.err
    starts = [r["agent"] for r in person.records(done.json["run"]) if r["event"] == "step.start"]
    assert "publish" not in starts


def test_what_changed_after_it_was_asked_cannot_be_approved(person: Any, agent: Agent) -> None:
    """Approval is bound to the digest; put back as it was, the same answer passes."""
    chain = person.chain(
        agent("write", WRITE.format(text="harmless"), emits=["w:done"], output="r.txt"),
        {"name": "gate", "type": "gate", "triggers": ["w:done"], "emits": ["g:ok"],
         "input": "r.txt", "review": "always"},
        agent("publish", "", triggers=["g:ok"]),
    )  # fmt: skip
    done = person("run", chain, "--json")
    review = done.json["reviews"][0]["id"]
    file = person.home / "data" / "runs" / done.json["run"] / "files" / "r.txt"
    file.write_text("harmful!")
    refused = person("review", "approve", review, "--reason", "looks fine")
    assert refused.code == 4
    assert "approval-invalid" in refused.err
    assert "review.invalid" in [r["event"] for r in person.records(done.json["run"])]
    file.write_text("harmless")
    assert person("review", "approve", review, "--reason", "as shown").code == 0


def test_a_failed_attempt_merges_nothing(person: Any, agent: Agent) -> None:
    """The same change comes back when the agent succeeds, and stays out when it fails."""
    (person.work / "ws").mkdir()
    seen = {}
    for code in (0, 1):
        chain = person.chain(
            agent(
                "w",
                f"open('made-{code}.txt', 'w').write('x'); raise SystemExit({code})",
                workspace={"type": "local", "directory": "ws"},
                merge="auto",
            )
        )
        assert person("run", chain).code == code
        seen[code] = (person.work / "ws" / f"made-{code}.txt").exists()
    assert seen == {0: True, 1: False}


def test_a_second_runner_leaves_a_running_run_alone(person: Any, agent: Agent) -> None:
    """Resuming what already runs is refused, and no step is started twice."""
    chain = person.chain(agent("long", "print('up'); import time; time.sleep(7334)"))
    with subprocess.Popen(
        person.command("run", chain), cwd=person.work, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        run = process.stderr.readline().split()[1].rstrip(":")
        for line in process.stderr:
            if "| up" in line:
                break
        second = person("runs", "resume", run)
        assert second.code == 1
        assert "run-busy" in second.err
        assert person("runs", "cancel", run).code == 0
        process.stderr.read()
        process.wait(timeout=20)
    assert [r["event"] for r in person.records(run)].count("step.start") == 1


def test_a_run_never_goes_on_with_another_chain(person: Any, agent: Agent) -> None:
    """The stored chain is bound to the run by its digest; unchanged it would have gone on."""
    chain = person.chain(
        {"name": "ask", "type": "review", "triggers": ["chain:start"], "emits": ["a:ok"],
         "prompt": "Go on?"},
        agent("publish", "print('harmless')", triggers=["a:ok"]),
    )  # fmt: skip
    done = person("run", chain, "--json")
    assert done.code == 5, done.err
    stored = person.home / "data" / "runs" / done.json["run"] / "chain"
    stored.write_text(stored.read_text().replace("harmless", "harmful!"))
    answered = person("review", "approve", done.json["reviews"][0]["id"], "--reason", "fine")
    assert answered.code == 1
    assert "chain-changed" in answered.err
    assert "step.start" not in [r["event"] for r in person.records(done.json["run"])]


def test_a_failed_gate_asks_a_person_and_shows_what_it_found(person: Any, agent: Agent) -> None:
    """Its own verdict routes to review; approved, the chain goes on from the first event."""
    verdict = {
        "passed": False,
        "issues": [{"type": "sql", "description": "a query is pasted", "severity": "high"}],
    }
    judge = f"import os; open(os.environ['RINGFENCE_OUTPUT'], 'w').write({json.dumps(verdict)!r})"
    chain = person.chain(
        agent("write", WRITE.format(text="report"), emits=["w:done"], output="r.txt"),
        {**agent("gate", judge, triggers=["w:done"], emits=["g:ok", "g:no"], input="r.txt"),
         "type": "gate"},
        agent("publish", "", triggers=["g:ok"]),
    )  # fmt: skip
    done = person("run", chain, "--json")
    assert (done.code, done.json["status"]) == (5, "waiting"), done.err
    review = done.json["reviews"][0]["id"]
    assert "high: a query is pasted" in person("review", "show", review).out
    ended = person("review", "approve", review, "--reason", "known", "--json")
    assert (ended.code, ended.json["status"]) == (0, "succeeded"), ended.err
    events = [r["event"] for r in person.records(done.json["run"])]
    assert events.index("gate.fail") < events.index("review.request")


def test_an_output_its_checks_find_fault_with_asks_a_person(person: Any, agent: Agent) -> None:
    """What was taken out of it is still what it tried; without checks the run would go on."""
    halves = "'AKIAZ7Q2' + 'M4X6K3L5P2R7'"  # whole, the chain file itself would be refused
    write = f"import os; open(os.environ['RINGFENCE_OUTPUT'], 'w').write({halves})"
    codes = {}
    for checks in ([], ["secrets"]):
        chain = person.chain(
            agent("leak", write, output="o.txt", checks=checks),
        )
        codes[len(checks)] = person("run", chain).code
    assert codes == {0: 0, 1: 5}
