"""What names, hosts, paths and addresses may look like."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.grammar import (
    covers,
    host_fault,
    path_fault,
    private_fault,
    reserved_env,
)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "api.example.com",
        "*.example.com",
        "xn--bcher-kva.example",
        "a-b.c",
        "1password.com",
        "10.1.2.3",
        "::1",
        "2001:db8::1",
        "a" * 63 + ".example",
    ],
)
def test_hosts_in_their_one_spelling_pass(host: str) -> None:
    """Names, one whole wildcard label, and canonical addresses."""
    assert host_fault(host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        "*",
        "*.com",
        "*.10.0.0.1",
        "*example.com",
        "a.*.example.com",
        "**.example.com",
        "API.example.com",
        "example.com.",
        ".example.com",
        "a..b",
        "-a.example",
        "a-.example",
        "a_b.example",
        "bücher.example",
        "a b",
        "a/b",
        "a@b",
        "exa\nmple.com",
        "example.com\n",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "256.1.1.1",
        "1.2.3.4.5",
        "[::1]",
        "::0001",
        "0:0:0:0:0:0:0:1",
        "2001:DB8::1",
        "::ffff:127.0.0.1",
        "fe80::1%eth0",
        "host:443",
    ],
)
def test_other_spellings_of_hosts_are_refused(host: str) -> None:
    """A second spelling is where a check and a dialler come to differ."""
    assert host_fault(host) != ""


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1"])
def test_the_refused_numbers_are_loopback_for_the_system(host: str) -> None:
    """Why they are refused: the C library dials 127.0.0.1 for each of them."""
    assert socket.inet_aton(host) == socket.inet_aton("127.0.0.1")
    assert host_fault(host) != ""


def test_a_secret_has_no_wildcard() -> None:
    """Where a host has to be exact, a pattern is a fault."""
    assert host_fault("*.example.com") == ""
    assert host_fault("*.example.com", wildcard=False) != ""


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("a.example.com", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", "aexample.com", False),
        ("a.example.com", "b.example.com", False),
    ],
)
def test_a_wildcard_takes_one_label(pattern: str, host: str, *, expected: bool) -> None:
    """Neither none nor two."""
    assert covers(pattern, host) is expected


@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/", "/repos/*/*/issues", "/v1/**", "/a.b/c~d", "/a...", "/@scope/x"]
)
def test_plain_paths_pass(path: str) -> None:
    """Segments of plain characters and stars."""
    assert path_fault(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "", "a", "a/b", "/a//b", "//", "/..", "/a/../b", "/./a", "/a/.", "/a?b=c", "/a#b",
        "/a%2f..", "/%2e%2e/", "/a b", "/a\\b", "/é", "/a\n", "/{a}",
    ],
)  # fmt: skip
def test_paths_that_could_be_read_in_two_ways_are_refused(path: str) -> None:
    """Encoded, relative, empty or queried segments are no part of a rule."""
    assert path_fault(path) != ""


@pytest.mark.parametrize(
    "block", ["127.0.0.1", "10.0.0.0/8", "10.1.2.0/24", "192.168.1.5", "::1", "fd12::/16"]
)
def test_private_blocks_can_be_opened(block: str) -> None:
    """Loopback, RFC 1918, shared and unique local addresses."""
    assert private_fault(block) == ""


@pytest.mark.parametrize(
    "block",
    [
        "", "x", "10.0.0.1/8", "0.0.0.0/0", "::/0", "8.8.8.8", "169.254.169.254",
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::254", "fc00::/7", "10.0.0.0/7", "127.1",
        "224.0.0.0/4",
    ],
)  # fmt: skip
def test_wide_public_and_metadata_blocks_cannot(block: str) -> None:
    """Opening the private world never opens a cloud's credentials."""
    assert private_fault(block) != ""


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP",
        "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "http_proxy", "HTTPS_PROXY", "No_Proxy",
        "RINGFENCE_PROMPT", "BASH_ENV", "GIT_SSH_COMMAND", "SSL_CERT_FILE", "PERL5OPT",
        "GLIBC_TUNABLES",
    ],
)  # fmt: skip
def test_variables_of_the_box_are_reserved(name: str) -> None:
    """Whatever their case: proxies are read in both."""
    assert reserved_env(name)


@pytest.mark.parametrize("name", ["API_TOKEN", "AREA", "MY_PATH", "HOMEPAGE", "GITHUB_TOKEN"])
def test_ordinary_variables_are_free(name: str) -> None:
    """A prefix or suffix in common is not enough."""
    assert not reserved_env(name)


@given(st.text(max_size=40))
def test_the_grammars_take_any_text(text: str) -> None:
    """A fault is an answer, never an exception, and a host that passes is lower-case ASCII."""
    for fault in (host_fault, path_fault, private_fault):
        assert isinstance(fault(text), str)
    if not host_fault(text):
        assert text.isascii()
        assert text == text.lower().strip()
