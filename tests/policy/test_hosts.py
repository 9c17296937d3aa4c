"""Names and addresses: one reading, or none."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy.hosts import (
    Host,
    match_host,
    parse_host,
    parse_pattern,
    refuse_address,
    split_authority,
)

REFUSED = [
    "", ".", "..", "a..b", ".a", "a..", "-a.test", "a-.test", "a_b.test", "a" * 64 + ".test",
    "a." * 127 + "abc", "evil.test\0.good.test", "evil.test%00.good.test", "user@evil.test",
    "good.test:x@evil.test", "good.test\\evil.test", "good.test/evil", "good.test?x", "good.test#x",
    "good.test\t", "good.test\r", "good.test\n", " good.test", "good .test", "g\u00f6od.test",
    "\uff45vil.test", "\u24d4vil.test", "evil\u3002test", "\u212aelvin.test", "good\u00ad.test",
    "2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01",
    "127.0.0.256", "127.0.0.1.", "1.2.3.4.5", "0X7F.1", "a.0x", "a.1", "1.2.3.4 ", "::1",
    "[::1", "[]", "[::1]x", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[127.0.0.1]", "[v1.x]", "[:::1]",
    "*.good.test", "*", "good.test,evil.test", "good.test;evil.test", "'good.test'", "$(x).test",
]  # fmt: skip


@pytest.mark.parametrize("raw", REFUSED)
def test_what_two_parsers_could_read_differently_is_no_host(raw: str) -> None:
    """Refused as text and as bytes."""
    with pytest.raises(ValueError, match=r"a host|an IP|characters|plain"):
        parse_host(raw)
    with pytest.raises(ValueError, match=r"\S"):
        parse_host(raw.encode("utf-8"))


def test_a_naive_suffix_check_would_have_let_these_through() -> None:
    """The guard-off proof: the usual check accepts the tricks that the grammar refuses."""

    def naive(host: str) -> bool:
        return host.endswith("good.test")

    for trick in ("evil.test\0.good.test", "evilgood.test", "good.test:x@x.good.test"):
        assert naive(trick)
    assert not match_host("*.good.test", parse_host("evilgood.test"))


@pytest.mark.parametrize(
    ("raw", "name", "literal"),
    [
        ("Forge.TEST", "forge.test", False),
        ("forge.test.", "forge.test", False),
        (b"localhost", "localhost", False),
        ("xn--gd-jia.test", "xn--gd-jia.test", False),
        ("1e100.net", "1e100.net", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("[::1]", "::1", True),
        ("[2001:DB8::0:1]", "2001:db8::1", True),
        ("[::ffff:127.0.0.1]", "::ffff:7f00:1", True),
    ],
)
def test_the_normal_form(raw: str | bytes, name: str, literal: bool) -> None:  # noqa: FBT001 - a table
    """Case and one trailing dot fold; literals are compressed."""
    assert parse_host(raw) == Host(name=name, literal=literal)


@given(st.text(max_size=40) | st.from_regex(r"[a-zA-Z0-9.\-\[\]:%]{1,40}", fullmatch=True))
def test_parsing_is_idempotent(raw: str) -> None:
    """Whatever is accepted is accepted again in its normal form, and is plain ASCII."""
    try:
        host = parse_host(raw)
    except ValueError:
        return
    again = f"[{host.name}]" if ":" in host.name else host.name
    assert parse_host(again) == host
    assert host.name.isascii()
    assert host.name == host.name.lower()


@pytest.mark.parametrize(
    ("raw", "default", "expected"),
    [
        ("a.test:8443", None, ("a.test", 8443)),
        ("a.test", 443, ("a.test", 443)),
        ("[::1]:80", None, ("::1", 80)),
        ("[::1]", 443, ("::1", 443)),
    ],
)
def test_an_authority_has_a_host_and_a_port(
    raw: str, default: int | None, expected: tuple[str, int]
) -> None:
    """With the default where none is written."""
    host, port = split_authority(raw, default_port=default)
    assert (host.name, port) == expected


@pytest.mark.parametrize(
    "raw", ["a.test", "a.test:", "a.test:0", "a.test:65536", "a.test:080", "a.test:+80", "a:b:80",
            "a.test:8 0", "::1:80", "u:p@a.test:80", "[::1]"],
)  # fmt: skip
def test_a_malformed_authority_is_refused(raw: str) -> None:
    """A port is needed when there is no default, and it is a plain number."""
    with pytest.raises(ValueError, match=r"\S"):
        split_authority(raw, default_port=None)


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("forge.test", "forge.test", True),
        ("Forge.test.", "forge.test", True),
        ("*.good.test", "a.good.test", True),
        ("*.good.test", "good.test", False),
        ("*.good.test", "a.b.good.test", False),
        ("*.good.test", "evilgood.test", False),
        ("*.good.test", "a.good.test.evil.test", False),
        ("good.test", "a.good.test", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "[::1]", True),
        ("[::1]", "[::1]", True),
        ("*.0.0.1.test", "127.0.0.1", False),
    ],
)
def test_a_wildcard_is_one_whole_left_label(pattern: str, host: str, *, covered: bool) -> None:
    """Neither none, nor two, nor part of one."""
    assert match_host(pattern, parse_host(host)) is covered


@pytest.mark.parametrize(
    "pattern", ["*", "*.", "*.test", "*.127.0.0.1", "a.*.test", "a*.test", "**.a.b"]
)
def test_wider_wildcards_are_refused(pattern: str) -> None:
    """Nothing that would cover a whole top-level domain or an address."""
    with pytest.raises(ValueError, match=r"\S"):
        parse_pattern(pattern)


def test_an_authority_is_written_as_host_says_it() -> None:
    """Brackets for IPv6, the port only when it is not the default."""
    assert parse_host("a.test").authority(443, default=443) == "a.test"
    assert parse_host("a.test").authority(8443, default=443) == "a.test:8443"
    assert parse_host("[::1]").authority(80, default=443) == "[::1]:80"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"), ("127.9.9.9", "loopback"), ("::1", "loopback"),
        ("10.1.2.3", "private"), ("172.16.0.1", "private"), ("172.31.255.255", "private"),
        ("192.168.1.1", "private"), ("100.64.0.1", "carrier-nat"), ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"), ("fe80::1%eth0", "zone"), ("fd12::1", "unique-local"),
        ("fec0::1", "site-local"), ("224.0.0.1", "multicast"), ("ff02::1", "multicast"),
        ("240.0.0.1", "reserved"), ("255.255.255.255", "broadcast"), ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"), ("::", "unspecified"), ("198.18.0.1", "benchmark"),
        ("192.0.2.1", "documentation"), ("198.51.100.1", "documentation"),
        ("203.0.113.9", "documentation"), ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"), ("64:ff9b::7f00:1", "nat64"), ("64:ff9b:1::1", "nat64"),
        ("2002:7f00:1::", "6to4"), ("2001:0:1::", "teredo"), ("::ffff:127.0.0.1", "ipv4-mapped"),
        ("::ffff:0:127.0.0.1", "ipv4-translated"), ("::127.0.0.2", "ipv4-compatible"),
        ("192.0.0.8", "reserved"), ("192.88.99.1", "reserved"), ("100::1", "reserved"),
        ("2001:2::1", "benchmark"), ("5f00::1", "reserved"), ("4000::1", "reserved"),
        ("169.254.169.254", "metadata"), ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"), ("168.63.129.16", "metadata"), ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"), ("fd20:ce::254", "metadata"),
        ("93.184.216.34", None), ("172.32.0.1", None), ("100.128.0.1", None),
        ("2606:2800:220:1::1", None),
    ],
)  # fmt: skip
def test_addresses_that_are_not_the_internet_are_refused(address: str, reason: str | None) -> None:
    """Each by its class."""
    assert refuse_address(address) == reason


def test_a_rule_may_open_a_private_network_it_names() -> None:
    """Only that one, and only of that family."""
    assert refuse_address("10.0.0.1", ["10.0.0.0/24"]) is None
    assert refuse_address("10.0.1.1", ["::/0", "10.0.0.0/24"]) == "private"
    assert refuse_address("::1", ["0.0.0.0/0", "::1/128"]) is None


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fd00:ec2::254", "168.63.129.16", "::ffff:10.0.0.1", "0.0.0.0", "ff02::1"],
)
def test_no_rule_opens_what_hands_out_credentials(address: str) -> None:
    """Nor a second spelling of an address, nor what is no single host."""
    assert refuse_address(address, ["0.0.0.0/0", "::/0"]) is not None


def test_an_address_of_this_host_needs_a_rule() -> None:
    """A public address of our own leads back to us."""
    assert refuse_address("93.184.216.34", own=True) == "own-address"
    assert refuse_address("93.184.216.34", ["93.184.216.34/32"], own=True) is None


@given(st.ip_addresses())
def test_only_global_addresses_pass(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Whatever passes without a rule, the standard library calls global too."""
    if refuse_address(str(address)) is None:
        assert address.is_global
