"""A certificate authority for one step: it vouches for that step's intercepted hosts only.

Invariants:
1. Its key never leaves memory, its certificate lives a day and is name-constrained to the hosts
   of the grant: it is worthless outside its box (RFC 5280 section 4.2.1.10).
2. A leaf is issued for one host and answers only for that server name.

Key files are needed by Python's ``ssl``; they are anonymous memory files, gone after loading.
"""

import os
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ringfence.chain.errors import Unavailable
from ringfence.policy.hosts import Host, parse_pattern

_LIFE = timedelta(hours=24)
_SKEW = timedelta(minutes=5)  # boxes share our clock; this is for containers that drift
_NOWHERE = "invalid"  # RFC 6761: never a real name


class Authority:
    """Issue leaves for intercepted hosts."""

    def __init__(self, patterns: Iterable[str], *, now: datetime) -> None:
        """Make the key and the certificate. Raises ValueError for a malformed host pattern."""
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[Host, ssl.SSLContext] = {}
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ringfence step authority")])
        self._certificate = (
            self._builder(name, name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(_constraints(patterns), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        """The certificate, to be trusted inside the box."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        """Start a certificate with what ours have in common."""
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _SKEW)
            .not_valid_after(self._now + _LIFE)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(own, critical=False)
        )

    def context(self, host: Host) -> ssl.SSLContext:
        """Give a TLS server context for one host; it answers to that server name only."""
        context = self._contexts.get(host)
        if context is None:
            context = self._contexts[host] = self._make(host)
        return context

    def _make(self, host: Host) -> ssl.SSLContext:
        general: x509.GeneralName = (
            x509.IPAddress(ip_address(host.name)) if host.literal else x509.DNSName(host.name)
        )
        leaf = (
            self._builder(x509.Name([]), self._certificate.subject, self._leaf_key)
            .add_extension(x509.SubjectAlternativeName([general]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(["http/1.1"])
        _load(context, leaf.public_bytes(serialization.Encoding.PEM), self._leaf_key)
        wanted = None if host.literal else host.name

        def check(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
            said = name.lower().removesuffix(".") if name is not None else None
            return None if said == wanted else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

        context.sni_callback = check
        return context


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _constraints(patterns: Iterable[str]) -> x509.NameConstraints:
    """Permit the hosts of the patterns; of a kind without any, permit nothing."""
    hosts = {parse_pattern(pattern)[1] for pattern in patterns}
    names = sorted(host.name for host in hosts if not host.literal) or [_NOWHERE]
    literals = sorted(host.name for host in hosts if host.literal)
    permitted: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    permitted += [x509.IPAddress(ip_network(literal)) for literal in literals]
    closed = ["0.0.0.0/0", "::/0"]
    excluded = [
        x509.IPAddress(ip_network(net))
        for net in closed
        if not any((":" in literal) == (":" in net) for literal in literals)
    ]
    return x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=excluded or None)


def _load(context: ssl.SSLContext, chain: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    """Load a certificate and key that exist in memory only."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    fd = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        os.write(fd, chain + pem)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def system_roots() -> str:
    """Give the host's trusted roots as PEM. Raises Unavailable when the host has none."""
    usual = ssl.get_default_verify_paths()
    places = (
        usual.cafile or usual.openssl_cafile,
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/cert.pem",
    )
    for place in places:
        if Path(place).is_file():
            return Path(place).read_text(encoding="ascii", errors="ignore")
    raise Unavailable(
        "no-system-roots",
        "this host has no file of trusted certificate authorities",
        hint="install ca-certificates",
    )


def bundle_pem(*parts: str) -> str:
    """Join PEM texts into the one file that clients in the box trust."""
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts if part)
