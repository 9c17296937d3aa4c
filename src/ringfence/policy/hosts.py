"""Names and addresses of the outside: one grammar, one normal form, one list of refusals.

Invariants:
1. A `Host` is built only by `parse_host`; what is decided on is what is looked up and dialled.
2. Nothing that two parsers could read differently is a host: no NUL, white space, userinfo,
   percent sign, non-ASCII, zone id, octal, hexadecimal or short IPv4 form.
3. A rule's ``*`` stands for exactly one whole left label; ``*.good.test`` covers neither
   ``good.test`` nor ``a.b.good.test``, and never an address literal.
4. Addresses where clouds hand out credentials are refused whatever a rule says.

It resolves nothing; ``gateway`` does and asks here about every answer. There is no public-suffix
list: ``*.co.uk`` is a mistake the author of a rule can still make.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# RFC 1123 section 2.1 letters, digits and inner hyphens; RFC 1035 section 2.3.4 lengths.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_MAX_NAME = 253
# The WHATWG URL standard reads a name whose last label looks like this as an IPv4 number.
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_OCTET = re.compile(r"(?:0|[1-9][0-9]{0,2})\Z")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host in normal form: lower-case A-labels, or an address literal without brackets."""

    name: str
    literal: bool = False

    def authority(self, port: int, *, default: int) -> str:
        """Give the host as a Host header says it, the port left out when it is the default."""
        shown = f"[{self.name}]" if ":" in self.name else self.name
        return shown if port == default else f"{shown}:{port}"


def parse_host(raw: bytes | str) -> Host:
    """Read a host name or address literal strictly.

    One trailing dot is folded. Raises ValueError for everything else that is not the plain form.
    """
    text = raw.decode("latin-1") if isinstance(raw, bytes) else raw
    if not text or len(text) > _MAX_NAME + 1:
        raise ValueError("a host has 1 to 253 characters")
    return _parse_host(text)


@lru_cache(maxsize=1024)
def _parse_host(text: str) -> Host:
    if text.startswith("["):
        return _bracketed(text)
    # Checked before lower() so that no non-ASCII letter can fold into an ASCII one (U+212A).
    if not text.isascii():
        raise ValueError("a host is written in ASCII; use the xn-- form")
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.match(labels[-1]):
        if name != text:
            raise ValueError("an IPv4 address is written as four plain decimal numbers")
        return _dotted(labels)
    if len(name) > _MAX_NAME or not all(_LABEL.match(label) for label in labels):
        raise ValueError("a host is made of labels of letters, digits and inner hyphens")
    return Host(name=name)


def _dotted(labels: list[str]) -> Host:
    """Read the one accepted IPv4 form."""
    if len(labels) != 4 or not all(_OCTET.match(x) and int(x) < 256 for x in labels):
        raise ValueError("an IPv4 address is written as four plain decimal numbers")
    return Host(name=".".join(labels), literal=True)


def _bracketed(text: str) -> Host:
    """Read ``[IPv6]``; zone ids are refused because they mean something on one machine only."""
    inner = text[1:-1]
    if not text.endswith("]") or "%" in inner:
        raise ValueError("an IPv6 address stands in brackets and has no zone")
    try:
        return Host(name=IPv6Address(inner).compressed, literal=True)
    except ValueError:
        raise ValueError("an IPv6 address stands in brackets and has no zone") from None


@lru_cache(maxsize=1024)
def split_authority(raw: str, *, default_port: int | None) -> tuple[Host, int]:
    """Read ``host`` or ``host:port``.

    Raises ValueError when either is malformed, or when there is no port and no default for it.
    """
    head, colon, tail = raw.rpartition(":")
    if raw.endswith("]") or not colon:
        head, tail = raw, ""
        if default_port is None:
            raise ValueError("a port is needed here")
        return parse_host(head), default_port
    if not _PORT.match(tail) or int(tail) > 65_535:
        raise ValueError("a port is a number from 1 to 65535")
    return parse_host(head), int(tail)


@lru_cache(maxsize=4096)
def parse_pattern(pattern: str) -> tuple[bool, Host]:
    """Read the host of a rule: whether it starts with ``*.``, and the rest.

    Raises ValueError when it is malformed, or a wildcard over a single label or an address.
    """
    wild = pattern.startswith("*.")
    text = pattern[2:] if wild else pattern
    if ":" in text and not text.startswith("["):
        text = f"[{text}]"
    host = parse_host(text)
    if wild and (host.literal or "." not in host.name):
        raise ValueError("a wildcard needs a name of at least two labels after it")
    return wild, host


def match_host(pattern: str, host: Host) -> bool:
    """Say whether a rule's host covers this host. Raises ValueError for a malformed pattern."""
    wild, rest = parse_pattern(pattern)
    if not wild:
        return rest.name == host.name and rest.literal == host.literal
    label, _, parent = host.name.partition(".")
    return not host.literal and bool(label) and parent == rest.name


_Net = tuple[str, str]

# Never reachable, even if a rule's allow_private covers them.
_METADATA: tuple[_Net, ...] = (
    ("metadata", "169.254.169.254/32"),  # AWS, Azure, GCP, and most others
    ("metadata", "169.254.170.0/24"),  # AWS ECS and EKS task credentials
    ("metadata", "100.100.100.200/32"),  # Alibaba
    ("metadata", "168.63.129.16/32"),  # Azure wire server
    ("metadata", "192.0.0.192/32"),  # Oracle
    ("metadata", "fd00:ec2::/32"),  # AWS over IPv6
    ("metadata", "fd20:ce::254/128"),  # GCP over IPv6
)
_NEVER: tuple[_Net, ...] = (
    *_METADATA,
    ("unspecified", "0.0.0.0/8"),  # Linux connects 0.0.0.0 to itself
    ("unspecified", "::/128"),
    ("link-local", "169.254.0.0/16"),
    ("link-local", "fe80::/10"),
    ("multicast", "224.0.0.0/4"),
    ("multicast", "ff00::/8"),
    ("broadcast", "255.255.255.255/32"),
    ("ipv4-mapped", "::ffff:0:0/96"),
    ("ipv4-translated", "::ffff:0:0:0/96"),
    ("nat64", "64:ff9b::/96"),
    ("nat64", "64:ff9b:1::/48"),
    ("6to4", "2002::/16"),
    ("teredo", "2001::/32"),
)
# Reachable only where a rule names a covering CIDR.
_PRIVATE: tuple[_Net, ...] = (
    ("loopback", "127.0.0.0/8"),
    ("loopback", "::1/128"),
    ("ipv4-compatible", "::/96"),
    ("private", "10.0.0.0/8"),
    ("private", "172.16.0.0/12"),
    ("private", "192.168.0.0/16"),
    ("carrier-nat", "100.64.0.0/10"),
    ("unique-local", "fc00::/7"),
    ("site-local", "fec0::/10"),
    ("benchmark", "198.18.0.0/15"),
    ("benchmark", "2001:2::/48"),
    ("documentation", "192.0.2.0/24"),
    ("documentation", "198.51.100.0/24"),
    ("documentation", "203.0.113.0/24"),
    ("documentation", "2001:db8::/32"),
    ("documentation", "3fff::/20"),
    ("reserved", "192.0.0.0/24"),
    ("reserved", "192.88.99.0/24"),
    ("reserved", "240.0.0.0/4"),
    ("reserved", "100::/64"),
    ("reserved", "2001::/23"),
    ("reserved", "5f00::/16"),
)
_NEVER_NETS = tuple((name, ip_network(net)) for name, net in _NEVER)
_PRIVATE_NETS = tuple((name, ip_network(net)) for name, net in _PRIVATE)
_GLOBAL_V6 = ip_network("2000::/3")


def refuse_address(
    address: str, allow_private: Iterable[str] = (), *, own: bool = False
) -> str | None:
    """Give the class for which this address must not be dialled, or None.

    ``own`` says that the address belongs to this host. Raises ValueError for a malformed address
    or CIDR.
    """
    return _refuse_address(address, tuple(allow_private), own)


@lru_cache(maxsize=1024)
def _refuse_address(address: str, allow_private: tuple[str, ...], own: bool) -> str | None:  # noqa: FBT001 - a cache key
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.scope_id is not None:
        return "zone"
    for name, net in _NEVER_NETS:
        if ip.version == net.version and ip in net:
            return name
    refused = _private_class(ip) or ("own-address" if own else None)
    if refused is None:
        return None
    for cidr in allow_private:
        net = ip_network(cidr)
        if ip.version == net.version and ip in net:
            return None
    return refused


def _private_class(ip: IPv4Address | IPv6Address) -> str | None:
    """Name the non-global class an address is in."""
    for name, net in _PRIVATE_NETS:
        if ip.version == net.version and ip in net:
            return name
    if ip.version == 6 and ip not in _GLOBAL_V6:
        return "reserved"
    return None
