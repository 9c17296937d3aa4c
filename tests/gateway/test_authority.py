"""The step's authority: believed for its hosts, by everyone, and for nothing else."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ringfence.chain.errors import Unavailable
from ringfence.gateway.authority import Authority, bundle_pem, system_roots
from ringfence.policy.hosts import parse_host

NOW = datetime.now(UTC)


def shake(server: ssl.SSLContext, authority: Authority, name: str, sni: str | None = "") -> str:
    """Shake hands in memory; give the protocol."""
    client = ssl.create_default_context(cadata=authority.pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.set_alpn_protocols(["h2", "http/1.1"])
    if sni is None:
        client.check_hostname = False
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(a, b, server_hostname=name if sni == "" else sni)
    right = server.wrap_bio(b, a, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(6):
        for side in (left, right):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    assert done == {left, right}
    return str(left.selected_alpn_protocol())


@pytest.mark.parametrize("name", ["forge.test", "a.good.test", "127.0.0.1", "::1"])
def test_leaves_are_believed_strictly(name: str) -> None:
    """Names under a wildcard and literals too; HTTP/1.1 is what is agreed on."""
    authority = Authority(["forge.test", "*.good.test", "127.0.0.1", "::1"], now=NOW)
    host = parse_host(f"[{name}]" if ":" in name else name)
    assert shake(authority.context(host), authority, name) == "http/1.1"
    assert authority.context(host) is authority.context(host)


@pytest.mark.parametrize("name", ["evil.test", "xforge.test", "127.0.0.2", "::2"])
@pytest.mark.parametrize("patterns", [["forge.test"], ["127.0.0.1"], ["::1"], []])
def test_other_hosts_are_not_believed(name: str, patterns: list[str]) -> None:
    """Even though the authority signed for them: the constraint forbids it."""
    authority = Authority(patterns, now=NOW)
    host = parse_host(f"[{name}]" if ":" in name else name)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"subtree|permitted|excluded"):
        shake(authority.context(host), authority, name)


@pytest.mark.parametrize("sni", ["evil.test", None])
def test_a_leaf_answers_to_its_own_name_only(sni: str | None) -> None:
    """A second lock behind the look at the hello."""
    authority = Authority(["forge.test", "evil.test"], now=NOW)
    context = authority.context(parse_host("forge.test"))
    with pytest.raises(ssl.SSLError):
        shake(context, authority, "forge.test", sni)


def test_the_authority_is_short_lived_and_can_do_one_thing() -> None:
    """A day, no intermediate, constrained, no key on disk."""
    certificate = x509.load_pem_x509_certificate(Authority(["*.good.test"], now=NOW).pem.encode())
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life <= timedelta(hours=24, minutes=5)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.path_length) == (True, 0)
    names = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical
    assert names.value.permitted_subtrees == [x509.DNSName("good.test")]


def test_no_descriptor_is_left_open() -> None:
    """The key goes through an anonymous file that is gone afterwards."""
    authority = Authority(["a.test", "b.test"], now=NOW)
    before = len(list(Path("/proc/self/fd").iterdir()))
    authority.context(parse_host("a.test"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_openssl_agrees(tmp_path: Path) -> None:
    """The certificate is well-formed for another tool."""
    path = tmp_path / "ca.pem"
    path.write_text(Authority(["forge.test"], now=NOW).pem)
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", str(path), str(path)],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_bundle_is_one_readable_file() -> None:
    """Parts are joined with line ends; the host's roots are among them."""
    assert bundle_pem("a", "", "b\n") == "a\nb\n"
    assert "BEGIN CERTIFICATE" in system_roots()


def test_a_host_without_roots_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than giving boxes a bundle that trusts nobody."""
    monkeypatch.setattr(Path, "is_file", lambda self: False)
    with pytest.raises(Unavailable, match="authorities"):
        system_roots()
