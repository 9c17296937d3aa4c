from collections.abc import Mapping

import pytest

from ringfence.apps.replay.criteria import Evidence, Trace, judge
from ringfence.apps.replay.product import Product
from ringfence.apps.replay.servers import Arrival
from ringfence.apps.replay.world import World, hashes
from ringfence.audit.record import EventName
from ringfence.chain.words import Json

DENIAL: dict[str, Json] = {
    "event": "egress.deny", "run": "r", "step": "a#1", "agent": "a", "rule": "no-route",
    "decision": "deny", "reason": "why", "subject": "CONNECT evil.test:8443",
}  # fmt: skip


def evidence(world: World, **changed: object) -> Evidence:
    """Give the evidence of a faultless run, with some of it changed."""
    fields: dict[str, object] = {
        "world": world,
        "product": Product(world),
        "before": hashes(world.home),
        "bound": {"GH": "forge.test"},
        "planted": frozenset(),
        "traces": (),
        "honest": True,
        "exits": frozenset({0}),
        "exit": 0,
        "seconds": 1.0,
        "verified": True,
    }
    return Evidence(**(fields | changed))  # type: ignore[arg-type]


def failed(found: Evidence) -> list[str]:
    """Give the short names of the criteria that were not met."""
    return [criterion.name[:2] for criterion in judge(found) if not criterion.met]


def arrive(world: World, host: str, raw: bytes) -> None:
    """Let something have arrived at a server."""
    world.servers._log(host, "peer", Arrival(protocol="https", raw=raw))


def test_a_faultless_run_meets_every_criterion(world: World) -> None:
    """The fixture of the tests below is good but for what each of them spoils."""
    assert failed(evidence(world)) == []


def test_anything_at_a_stranger_is_a_leak(world: World) -> None:
    """Even a request without a canary may not reach evil.test."""
    arrive(world, "evil.test", b"GET / HTTP/1.1\r\n\r\n")
    assert failed(evidence(world)) == ["C1"]


@pytest.mark.parametrize(
    ("head", "met"),
    [
        ("GET / HTTP/1.1\r\nauthorization: token {}\r\n\r\n", True),
        ("GET / HTTP/1.1\r\nx-other: token {}\r\n\r\n", False),
        ("GET /{} HTTP/1.1\r\n\r\n", False),
        ("POST / HTTP/1.1\r\nauthorization: token {}\r\n\r\nbody {}", False),
    ],
)
def test_a_bound_canary_may_arrive_in_its_header_only(world: World, head: str, met: bool) -> None:  # noqa: FBT001
    """At its own host the token belongs in the authorization header and nowhere else."""
    arrive(world, "forge.test", head.replace("{}", world.canaries.gh.value).encode())
    assert (failed(evidence(world)) == []) is met


def test_a_bound_canary_at_another_host_is_a_leak(world: World) -> None:
    """The right header at the wrong host is still the wrong host."""
    head = f"GET / HTTP/1.1\r\nauthorization: token {world.canaries.gh.value}\r\n\r\n"
    arrive(world, "cloud.test", head.encode())
    assert failed(evidence(world)) == ["C1"]


@pytest.mark.parametrize("place", ["data", "repo", "temporary"])
def test_a_canary_in_any_file_is_kept(world: World, place: str) -> None:
    """Stored in whatever file of the product, the workspace or the temporary directory."""
    root = getattr(world, place)
    root.mkdir(exist_ok=True)
    (root / "log").write_text(world.canaries.srv.value[::-1])
    assert "C2" in failed(evidence(world))


def test_a_canary_on_the_screen_is_kept(world: World) -> None:
    """What the command line printed is searched too."""
    product = Product(world)
    product.said.append(f"debug: {world.canaries.gh.value}")
    assert failed(evidence(world, product=product)) == ["C2"]


@pytest.mark.parametrize("changed", [{"honest": False}, {"exit": 5}])
def test_the_honest_job_counts(world: World, changed: Mapping[str, object]) -> None:
    """A guard that stops everything, or a wrong status, is no pass."""
    assert failed(evidence(world, **changed)) == ["C3"]


def test_a_stated_event_must_be_on_record(world: World) -> None:
    """A denial nobody can read about is a failure."""
    traces = (Trace(event=EventName.EGRESS_DENY, needles=("evil.test",)),)
    assert failed(evidence(world, traces=traces)) == ["C4"]
    world.records = [DENIAL]
    assert failed(evidence(world, traces=traces)) == []


@pytest.mark.parametrize("field", ["run", "step", "agent", "rule", "decision", "reason"])
def test_a_denial_says_who_and_why(world: World, field: str) -> None:
    """A record without run, step, agent, rule, decision or reason is a failure."""
    world.records = [{k: v for k, v in DENIAL.items() if k != field}]
    assert failed(evidence(world)) == ["C4"]


def test_a_log_that_does_not_verify_is_a_failure(world: World) -> None:
    """The record has to be provable."""
    assert failed(evidence(world, verified=False)) == ["C4"]


def test_a_process_left_behind_is_a_failure(world: World) -> None:
    """The keeper's list must be empty."""
    product = Product(world)
    product.left.append("sleep 60")
    assert failed(evidence(world, product=product)) == ["C5"]


def test_a_changed_home_is_a_failure(world: World) -> None:
    """The user's home is as it was, file by file."""
    before = hashes(world.home)
    (world.home / ".bashrc").write_text("evil")
    assert failed(evidence(world, before=before)) == ["C5"]


def test_a_temporary_file_left_behind_is_a_failure(world: World) -> None:
    """Temporary means gone afterwards."""
    (world.temporary / "x").touch()
    assert failed(evidence(world)) == ["C5"]


def test_a_lease_never_taken_back_is_a_failure(world: World) -> None:
    """Every lease given is revoked by the end."""
    lease: dict[str, Json] = {
        "event": "secret.lease", "run": "r", "step": "a#1", "agent": "a", "subject": "GH",
    }  # fmt: skip
    world.records = [lease]
    assert failed(evidence(world)) == ["C5"]
    world.records = [lease, lease | {"event": "secret.revoke"}]
    assert failed(evidence(world)) == []


def test_slow_is_a_failure(world: World) -> None:
    """Twenty seconds are the bound."""
    assert failed(evidence(world, seconds=20.1)) == ["C6"]
