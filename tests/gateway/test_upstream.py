"""Origins and whom we believe about them."""

import ssl
from typing import Any

import pytest

from ringfence.gateway.upstream import Origin, trust
from ringfence.policy.hosts import parse_host


@pytest.mark.parametrize(
    ("scheme", "host", "port", "authority", "shown"),
    [
        ("https", "a.test", 443, "a.test", "https://a.test:443"),
        ("https", "a.test", 80, "a.test:80", "https://a.test:80"),
        ("http", "a.test", 80, "a.test", "http://a.test:80"),
        ("http", "[::1]", 8080, "[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_origin_in_a_header_and_in_the_record(
    scheme: str, host: str, port: int, authority: str, shown: str
) -> None:
    """The record always has the port."""
    origin = Origin(scheme=scheme, host=parse_host(host), port=port)
    assert (origin.authority, str(origin)) == (authority, shown)


def test_trust_is_the_systems_and_the_operators(outside: Any) -> None:
    """Verified, with names, TLS 1.2 at least."""
    plain, more = trust(""), trust(outside.pem)
    assert plain.verify_mode is ssl.CERT_REQUIRED
    assert plain.check_hostname
    assert plain.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(more.get_ca_certs()) == len(plain.get_ca_certs()) + 1


def test_roots_that_are_none_are_an_error() -> None:
    """A typo must not mean fewer checks."""
    with pytest.raises(ssl.SSLError):
        trust("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
