"""Network rules, secrets and plain variables of an agent."""

from collections.abc import Callable

import pytest

from ringfence.chain.words import Action, Agent, Delivery

Only = Callable[..., Agent]
Faults = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("api.example.com", ("https", "api.example.com", 443, ())),
        ('"*.example.com"', ("https", "*.example.com", 443, ())),
        ("https://a.example", ("https", "a.example", 443, ())),
        ("https://a.example:8443/v1/*", ("https", "a.example", 8443, ("/v1/*",))),
        ("http://a.example/", ("http", "a.example", 80, ("/",))),
        ('"https://[::1]:8443"', ("https", "::1", 8443, ())),
        ("{host: a.example}", ("https", "a.example", 443, ())),
        ("{host: a.example, scheme: http}", ("http", "a.example", 80, ())),
        ("{host: a.example, port: 8080, scheme: http}", ("http", "a.example", 8080, ())),
    ],
)
def test_a_rule_may_be_written_short(only: Only, written: str, expected: tuple[object]) -> None:
    """Host, address line or mapping give the same record."""
    (rule,) = only(f"network: [{written}]").network
    assert (rule.scheme, rule.host, rule.port, rule.paths) == expected
    assert rule.action is Action.ALLOW
    assert str(rule.where) == "chain.yaml:7:15"


def test_a_rule_keeps_all_it_says(only: Only) -> None:
    """Methods, paths, sizes, operations, private blocks and action."""
    (rule,) = only(
        "network:",
        "  - host: api.example.com",
        "    methods: [GET, POST]",
        "    paths: [/graphql]",
        "    maxBodyBytes: 10",
        "    graphqlOperations: [viewer]",
        "    allowPrivate: [10.0.0.0/8]",
        "    action: hold",
    ).network
    assert (rule.methods, rule.paths, rule.max_body_bytes) == (("GET", "POST"), ("/graphql",), 10)
    assert (rule.graphql_operations, rule.allow_private) == (("viewer",), ("10.0.0.0/8",))
    assert rule.action is Action.HOLD


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('"*.com"', "bad-host 7:15"),
        ("api.example.com:8443", "bad-host 7:15"),
        ("ftp://a.example", "bad-host 7:15"),
        ("https://a.example:0", "out-of-range 7:15"),
        ("https://a.example:70000", "out-of-range 7:15"),
        ("https://a.example:0443", "out-of-range 7:15"),
        ("https://user@a.example", "bad-host 7:15"),
        ('"https://[a.example]"', "bad-host 7:15"),
        ('"https://[::1"', "bad-host 7:15"),
        ("https://a.example/../b", "bad-path 7:15"),
        ("https://a.example/b?c", "bad-path 7:15"),
        ("{port: 443}", "missing-field 7:15"),
        ("{host: A.example}", "bad-value 7:22"),
        ("{host: 127.1.1.1.1}", "bad-host 7:22"),
        ("{host: a.example, port: 0}", "out-of-range 7:39"),
        ("{host: a.example, methods: [get]}", "bad-value 7:43"),
        ("{host: a.example, paths: [a]}", "bad-value 7:41"),
        ("{host: a.example, paths: [/a/../b]}", "bad-path 7:41"),
        ("{host: a.example, allowPrivate: [169.254.169.254]}", "bad-address 7:48"),
        ("{host: a.example, action: allways}", "bad-value 7:41"),
        ("{host: a.example, method: GET}", "unknown-field 7:33"),
    ],
)
def test_bad_rules_have_their_place(only_faults: Faults, written: str, said: str) -> None:
    """Every way to write a rule is held to the same grammar."""
    assert only_faults(f"network: [{written}]") == [said]


SECRET = "secrets: [{name: github-token, host: api.github.com}]"


def test_a_secret_is_bound_and_shown_under_its_own_name(only: Only) -> None:
    """Slot and variable have their defaults, delivery is the placeholder."""
    (use,) = only("network: [api.github.com]", SECRET).secrets
    assert (use.name, use.host, use.slot) == (
        "github-token",
        "api.github.com",
        "header:authorization",
    )
    assert (use.env, use.delivery) == ("GITHUB_TOKEN", Delivery.PLACEHOLDER)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("[]", "secret-without-route 8:42"),
        ("[github.com]", "secret-without-route 8:42"),
        ('["*.api.github.com"]', "secret-without-route 8:42"),
        ("[{host: api.github.com, action: deny}]", "secret-without-route 8:42"),
        ("[http://api.github.com]", "secret-in-clear 8:42"),
    ],
)
def test_a_secret_needs_a_route_over_tls(only_faults: Faults, network: str, said: str) -> None:
    """A secret that could go nowhere, or in the clear, is a mistake in the file."""
    assert only_faults(f"network: {network}", SECRET) == [said]


@pytest.mark.parametrize("network", ["[api.github.com]", '["*.github.com"]'])
def test_an_exact_or_one_label_rule_covers_a_secret(only: Only, network: str) -> None:
    """The counterpart of the refusals above."""
    assert only(f"network: {network}", SECRET).secrets


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("GITHUB_TOKEN", "wrong-type 8:15"),
        ("{name: T}", "missing-field 8:15"),
        ('{name: T, host: "*.x.example"}', "bad-host 8:31"),
        ("{name: T, host: a.x.example, slot: body}", "bad-value 8:50"),
        ('{name: T, host: a.x.example, slot: "header:X"}', "bad-value 8:50"),
        ("{name: T, host: a.x.example, env: PATH}", "reserved-env 8:49"),
        ("{name: LD_PRELOAD, host: a.x.example}", "reserved-env 8:22"),
        ("{name: T, host: a.x.example, env: PLAIN}", "env-twice 8:49"),
        ("{name: T, host: a.x.example, delivery: env}", "bad-value 8:54"),
    ],
)
def test_bad_secrets_have_their_place(only_faults: Faults, secret: str, said: str) -> None:
    """Unbound, badly placed or badly named."""
    found = only_faults("network: ['*.x.example']", f"secrets: [{secret}]", "env: {PLAIN: x}")
    assert found == [said]


def test_two_secrets_do_not_share_a_variable(only_faults: Faults) -> None:
    """The box could show only one of the two placeholders."""
    assert only_faults(
        "network: [a.x.example]",
        "secrets:",
        "  - {name: one, host: a.x.example, env: T}",
        "  - {name: two, host: a.x.example, env: T}",
    ) == ["env-twice 10:45"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("env: {LD_PRELOAD: x}", "reserved-env 7:11"),
        ("env: {https_proxy: x}", "reserved-env 7:11"),
        ("env: {A-B: x}", "bad-value 7:11"),
        ("env: {A: 1}", "wrong-type 7:14"),
    ],
)
def test_bad_variables_have_their_place(only_faults: Faults, line: str, said: str) -> None:
    """What the box owns, what is no name, what is no text."""
    assert only_faults(line) == [said]
