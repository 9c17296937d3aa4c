"""Egress rules: deny over hold over allow, one reading of a path."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import Position
from ringfence.chain.words import Action, NetworkRule, SecretUse
from ringfence.policy.decision import Verdict
from ringfence.policy.effect import NetEffect
from ringfence.policy.egress import (
    body_limit,
    decide_net,
    match_net,
    match_path,
    must_inspect,
    overrides_method,
    parameters,
    parse_path,
    percent_decode,
    wants_operations,
)
from ringfence.policy.grant import Grant
from ringfence.policy.hosts import parse_host

Rules = Callable[..., NetworkRule]
Nets = Callable[..., NetEffect]
WHERE = Position(file="chain.yaml", line=7, column=3)


@pytest.mark.parametrize(
    "target",
    ["", "x", "*", "http://a/", "/a//b", "//a", "//", "/a//",
     "/..", "/a/../b", "/a/./b", "/.", "/a/%2e%2e/b",
     "/%2E", "/a/.%2e", "/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/a%00b", "/a%0ab", "/a%0d", "/a%7f",
     "/a%25b", "/%252e%252e/", "/a%", "/a%2", "/a%zz", "/a%c0%ae", "/a%ff", "/a b", "/a#b",
     "/\u00e4",
     "/a/..;/b", "/a/..;x=1/b", "/a/.;/b", "/a/%20../b", "/a/..%20/b", "/a?\x7f"],
)  # fmt: skip
def test_paths_that_servers_read_in_two_ways_are_refused(target: str) -> None:
    """Dot segments in every spelling, hidden separators, double encoding, bad UTF-8."""
    with pytest.raises(ValueError, match=r"\S"):
        parse_path(target)


@given(st.text(alphabet="/ab.;%2e?#\\~-_ \x7f", max_size=12).map(lambda text: f"/{text}"))
def test_the_short_way_to_read_a_path_reads_alike(target: str) -> None:
    """What most paths look like is read by one pattern: it must not see more or other."""

    def read(*, short: bool) -> object:
        with pytest.MonkeyPatch.context() as patch:
            if not short:
                patch.setattr("ringfence.policy.egress._PLAIN", re.compile(r"(?!)"))
            try:
                return parse_path.__wrapped__(target)
            except ValueError:
                return None

    assert read(short=True) == read(short=False)


def test_a_naive_prefix_check_would_let_the_escapes_through() -> None:
    """The guard-off proof for the table above."""
    for trick in ("/public/../admin", "/public/%2e%2e/admin", "/public/..;/admin"):
        assert trick.startswith("/public/")


def test_a_path_is_decoded_once() -> None:
    """Segments are compared decoded; the query stays as sent."""
    path = parse_path("/a%20b/%C3%A4/?q=%2e%2e")
    assert path.segments == ("a b", "\u00e4", "")
    assert path.query == "q=%2e%2e"


def test_parameters_are_read_at_both_separators() -> None:
    """Some servers split at a semicolon; the empty and the bare name are fine."""
    assert parameters("a=1&b+c=%20;d&&") == (("a", "1"), ("b c", " "), ("d", ""))
    with pytest.raises(ValueError, match="percent"):
        percent_decode("%")


@pytest.mark.parametrize(
    ("headers", "pairs", "found"),
    [
        (["X-HTTP-Method-Override"], [], True),
        (["x_http_method_override"], [], True),
        (["x-method-override"], [], True),
        (["x-http-method"], [], True),
        (["x-other"], [("method", "GET")], False),
        ([], [("_method", "DELETE")], True),
        ([], [("_METHOD[]", "DELETE")], True),
        ([], [(" .method", "DELETE")], True),
        ([], [("_methods", "DELETE")], False),
    ],
)
def test_a_second_method_is_seen(
    headers: list[str], pairs: list[tuple[str, str]], *, found: bool
) -> None:
    """As header or parameter, in the spellings frameworks accept."""
    assert overrides_method(headers, pairs) is found


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        ("/", "/", True), ("/", "/a", False), ("/a", "/a", True), ("/a", "/a/", False),
        ("/a/*", "/a/b", True), ("/a/*", "/a/", True), ("/a/*", "/a/b/c", False),
        ("/a/**", "/a", True), ("/a/**", "/a/b/c", True), ("/**/z", "/z", True),
        ("/**/z", "/a/b/z", True), ("/**/z", "/a/b", False), ("/**", "/", True),
        ("/a*c", "/abc", True), ("/a*c", "/ac", True), ("/a*c", "/ab", False),
        ("/*b*d", "/abcd", True), ("/*b*c*d", "/abd", False), ("/aa*a", "/aa", False),
        ("/repos/*/pulls/*/comments", "/repos/x/pulls/9/comments", True), ("/b*", "/ab", False),
        ("/**/x/**", "/a/x/b", True), ("/a**", "/abc", True),
    ],
)  # fmt: skip
def test_globs(pattern: str, path: str, *, covered: bool) -> None:
    """One star stays in its segment, two cross."""
    assert match_path(pattern, parse_path(path).segments) is covered


def test_no_rule_means_no_and_names_the_smallest_rule(net: Nets) -> None:
    """The fix is one line of YAML that would have allowed exactly this."""
    decision = decide_net(net(method="POST", path="/a b%20".replace(" ", "")), ())
    assert decision.rule == "no-rule"
    assert decision.fix == '- {host: "forge.test", methods: [POST], paths: ["/ab "]}'
    odd = decide_net(net(port=8443, path="/a*b"), ())
    assert odd.fix == '- {host: "forge.test", port: 8443, scheme: "https"}'
    assert decide_net(net(method=None, path=None), ()).fix == '- {host: "forge.test"}'


def test_an_allow_rule_asks_for_everything_it_says(rule: Rules, net: Nets) -> None:
    """Host, port, scheme, method and path."""
    rules = [rule(methods=("GET",), paths=("/public/*",))]
    allowed = decide_net(net(path="/public/a"), rules)
    assert allowed.verdict is Verdict.ALLOW
    assert allowed.where == WHERE
    for other in (
        {"host": "evil.test"}, {"port": 8443}, {"scheme": "http"}, {"method": "POST"},
        {"path": "/private/a"}, {"path": "/Public/a"},
    ):  # fmt: skip
        assert decide_net(net(**{"path": "/public/a", **other}), rules).rule == "no-rule"


def test_deny_beats_hold_beats_allow(rule: Rules, net: Nets) -> None:
    """In whatever order they are written."""
    allow, hold, deny = rule(), rule(action=Action.HOLD), rule(action=Action.DENY)
    assert decide_net(net(), [allow, hold, deny]).rule == "network-deny"
    held = decide_net(net(), [allow, hold])
    assert (held.verdict, held.rule) == (Verdict.ASK, "network-hold")
    assert decide_net(net(), [allow]).allowed


@pytest.mark.parametrize("path", ["/admin", "/Admin", "/admin/", "/admin;x=1", "/ADMIN/;a"])
def test_a_deny_path_matches_as_a_careless_server_would(rule: Rules, net: Nets, path: str) -> None:
    """Case, parameters and a trailing slash do not get around it."""
    rules = [rule(), rule(paths=("/admin",), action=Action.DENY)]
    assert decide_net(net(path=path), rules).rule == "network-deny"
    assert decide_net(net(path="/other"), rules).allowed


def test_a_deny_rule_may_name_methods_in_any_case(rule: Rules, net: Nets) -> None:
    """And leaves other methods alone."""
    rules = [rule(), rule(methods=("delete",), action=Action.DENY)]
    assert decide_net(net(method="DELETE"), rules).rule == "network-deny"
    assert decide_net(net(), rules).allowed


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"host": "Forge.test"}, "host-malformed"), ({"host": "a b"}, "host-malformed"),
        ({"host": "forge.test."}, "host-malformed"), ({"method": "get"}, "method-refused"),
        ({"method": "TRACE"}, "method-refused"), ({"method": "CONNECT"}, "method-refused"),
        ({"path": "/../x"}, "path-refused"), ({"path": None}, "path-refused"),
        ({"path": "/?%"}, "path-refused"), ({"path": "/?_method=DELETE"}, "method-override"),
        ({"method_override": True}, "method-override"),
    ],
)  # fmt: skip
def test_some_requests_no_rule_can_allow(
    rule: Rules, net: Nets, more: dict[str, object], name: str
) -> None:
    """However wide it is."""
    assert decide_net(net(**more), [rule()]).rule == name


def test_the_body_is_bounded_by_the_rule(rule: Rules, net: Nets) -> None:
    """The size itself passes, one byte more does not; another rule may allow more."""
    small, large = rule(max_body_bytes=10), rule(max_body_bytes=20)
    assert decide_net(net(body_bytes=10), [small]).allowed
    assert decide_net(net(body_bytes=11), [small]).rule == "body-too-large"
    assert decide_net(net(body_bytes=11), [small, large]).allowed
    assert body_limit(net(), [small, large]) == 20
    assert body_limit(net(), [small, rule()]) is None
    assert body_limit(net(), [rule("other.test")]) == 0


def test_graphql_operations_are_a_subset_or_nothing(rule: Rules, net: Nets) -> None:
    """Unread or empty is denied like an operation that is not listed."""
    rules = [rule(graphql_operations=("domainList", "domainUpdate"))]
    assert decide_net(net(operations=("domainList",)), rules).allowed
    for unread in (None, ()):
        assert decide_net(net(operations=unread), rules).rule == "graphql-unreadable"
    denied = decide_net(net(operations=("domainList", "volumeDelete")), rules)
    assert denied.rule == "graphql-operation"
    assert '"volumeDelete"' in denied.fix


def test_a_deny_rule_covers_operations_it_cannot_see(rule: Rules, net: Nets) -> None:
    """Unread operations count as the denied one."""
    rules = [rule(), rule(graphql_operations=("volumeDelete",), action=Action.DENY)]
    assert decide_net(net(operations=("domainList",)), rules).allowed
    assert decide_net(net(operations=("volumeDelete",)), rules).rule == "network-deny"
    assert decide_net(net(operations=None), rules).rule == "network-deny"


def test_every_address_is_judged(rule: Rules, net: Nets) -> None:
    """One bad answer is enough; metadata has no fix."""
    mixed = decide_net(net(addresses=("93.184.216.34", "10.0.0.1")), [rule()])
    assert mixed.rule == "address-refused"
    assert "allowPrivate" in mixed.fix
    wide = rule(allow_private=("0.0.0.0/0",))
    assert decide_net(net(addresses=("10.0.0.1",)), [wide]).allowed
    metadata = decide_net(net(addresses=("169.254.169.254",)), [wide])
    assert (metadata.rule, metadata.fix) == ("address-refused", "")
    own = net(addresses=("93.184.216.34",), own_addresses=("93.184.216.34",))
    assert decide_net(own, [rule()]).reason == "the address is own-address"


def test_the_first_miss_is_told(rule: Rules, net: Nets) -> None:
    """When several rules nearly cover a request."""
    rules = [rule(max_body_bytes=1), rule(graphql_operations=("a",))]
    match = match_net(net(body_bytes=5), rules)
    assert match.decision.rule == "body-too-large"
    assert match.rule == rules[0]


def test_a_tunnel_is_decided_by_host_alone(rule: Rules, net: Nets) -> None:
    """A whole-host deny stops it; what needs a look inside is left to `must_inspect`."""
    tunnel = net(method=None, path=None)
    assert decide_net(tunnel, [rule(methods=("GET",), max_body_bytes=1)]).allowed
    assert decide_net(tunnel, [rule(), rule(action=Action.DENY)]).rule == "network-deny"
    assert decide_net(tunnel, [rule(), rule(paths=("/x",), action=Action.DENY)]).allowed
    assert decide_net(tunnel, [rule(), rule(action=Action.HOLD)]).allowed
    literal = net(method=None, path=None, host="::1")
    assert decide_net(literal, [rule("::1")]).allowed


@pytest.mark.parametrize(
    ("fields", "inspected"),
    [
        ({}, False), ({"methods": ("GET",)}, True), ({"paths": ("/a",)}, True),
        ({"max_body_bytes": 5}, True), ({"graphql_operations": ("a",)}, True),
        ({"action": Action.HOLD}, True), ({"action": Action.DENY}, False),
        ({"methods": ("GET",), "port": 8443}, False),
        ({"methods": ("GET",), "scheme": "http"}, False),
    ],
)  # fmt: skip
def test_what_a_rule_asks_decides_whether_we_look_inside(
    rule: Rules, grant: Callable[..., Grant], fields: dict[str, object], *, inspected: bool
) -> None:
    """Anything more than host and port needs a look."""
    assert must_inspect("forge.test", 443, grant((rule(**fields),))) is inspected
    assert not must_inspect("::1", 443, grant((rule(**fields),)))


def test_a_host_with_a_secret_is_always_read(rule: Rules, grant: Callable[..., Grant]) -> None:
    """Else the placeholder could not be swapped."""
    use = SecretUse(name="T", host="forge.test", env="T", where=WHERE)
    assert must_inspect("forge.test", 443, grant((rule(),), (use,)))
    assert not must_inspect("other.test", 443, grant((rule(),), (use,)))


def test_operations_are_wanted_where_a_rule_speaks_of_them(rule: Rules, net: Nets) -> None:
    """By an allow rule for the path, or a deny rule that matches it loosely."""
    rules = [rule(paths=("/graphql",), graphql_operations=("a",), methods=("POST",))]
    assert wants_operations(net(method="POST", path="/graphql"), rules)
    assert not wants_operations(net(method="POST", path="/other"), rules)
    assert wants_operations(net(method="GET", path="/GraphQL"), rules)
    assert not wants_operations(net(path="/graphql"), [rule()])
    assert not wants_operations(net(host="::1", path="/graphql"), rules)
    assert body_limit(net(host="::1"), [rule("::1", max_body_bytes=3)]) == 3


names = st.sampled_from(["forge.test", "*.forge.test", "a.forge.test"])
rules_ = st.builds(
    NetworkRule,
    host=names,
    methods=st.lists(st.sampled_from(["GET", "POST"]), max_size=2).map(tuple),
    paths=st.lists(st.sampled_from(["/a", "/a/*", "/**", "/A"]), max_size=2).map(tuple),
    max_body_bytes=st.none() | st.integers(0, 5),
    graphql_operations=st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
    action=st.sampled_from(Action),
    where=st.just(WHERE),
)
effects = st.builds(
    NetEffect,
    host=st.sampled_from(["forge.test", "a.forge.test", "evil.test"]),
    port=st.just(443),
    scheme=st.just("https"),
    method=st.none() | st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(["/a", "/a/b", "/A", "/a;x", "/../a"]),
    body_bytes=st.integers(0, 8),
    operations=st.none() | st.lists(st.sampled_from(["x", "y", "z"]), max_size=2).map(tuple),
    addresses=st.sampled_from([(), ("93.184.216.34",), ("127.0.0.1",)]),
)


@given(effects, st.lists(rules_, max_size=5), rules_, st.integers(0, 5))
def test_a_further_deny_never_allows_more(
    effect: NetEffect, rules: list[NetworkRule], extra: NetworkRule, place: int
) -> None:
    """Nor does a further hold, wherever it is put."""
    if extra.action is Action.ALLOW:
        return
    before = decide_net(effect, rules)
    after = decide_net(effect, [*rules[:place], extra, *rules[place:]])
    assert before.allowed or not after.allowed


@given(effects, st.lists(rules_, max_size=5), st.randoms())
def test_the_order_of_rules_does_not_matter(
    effect: NetEffect, rules: list[NetworkRule], chance: object
) -> None:
    """For whether a request is allowed."""
    shuffled = list(rules)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert decide_net(effect, rules).allowed is decide_net(effect, shuffled).allowed


@given(st.from_regex(r"[A-Za-z0-9.\-]{1,20}(\.test)?\.?", fullmatch=True))
def test_the_decision_is_about_what_is_dialled(raw: str) -> None:
    """Whatever spelling is parsed, deciding the spelling and the dialled name agree."""
    rules = [NetworkRule(host="a.test", where=WHERE), NetworkRule(host="*.good.test", where=WHERE)]
    try:
        dialled = parse_host(raw)
    except ValueError:
        return
    effect = NetEffect(host=dialled.name, port=443, scheme="https")
    again = NetEffect(host=parse_host(dialled.name).name, port=443, scheme="https")
    assert decide_net(effect, rules) == decide_net(again, rules)
    if decide_net(effect, rules).allowed:
        assert dialled.name == "a.test" or dialled.name.endswith(".good.test")
