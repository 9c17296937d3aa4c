"""What names, hosts, paths and addresses may look like, and nothing more generous.

Invariants:
1. Every grammar is matched over the whole text and gives one spelling for one thing: lower-case
   hosts, canonical addresses, upper-case methods. A second spelling is refused, not translated,
   because two rooms that translate differently are a bypass.
2. A `*` in a host stands for exactly the whole left label and never directly above the last one.

Whether a rule matches a request at run time is decided by ``policy``.
"""

import re
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

NAME = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
EVENT = r"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*:[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*"
VARIABLE = r"[A-Z][A-Z0-9_]*"
SECRET = rf"(?:[A-Z][A-Z0-9_]*|{NAME})"
ENV = r"[A-Za-z_][A-Za-z0-9_]*"
FILE = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
METHOD = r"[A-Z][A-Z-]*"
GRAPHQL = r"[_A-Za-z][_0-9A-Za-z]*"
SLOT = r"header:[a-z0-9!#$%&'*+.^_`|~-]+"  # RFC 9110 section 5.6.2, lower-case
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"(?:\*\.{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?:\.{_LABEL})*|[0-9a-f:]*:[0-9a-f:.]*)"
_SEGMENT = r"[A-Za-z0-9._~!$&'()*+,;=:@-]+"
PATH = rf"/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?"
URL = re.compile(r"(https?)://(\[[^\]/]*\]|[^/:\[\]]*)(?::([0-9]{1,5}))?(/.*)?", re.DOTALL)

_DIGITS_LAST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

# Names a box sets for itself, or that make an ordinary program load or run something else.
_RESERVED = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "IFS", "ENV", "BASH_ENV",
    "BASHOPTS", "SHELLOPTS", "PS4", "PROMPT_COMMAND", "CDPATH", "TMPDIR", "TMP", "TEMP", "LANG",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY", "WS_PROXY", "WSS_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE", "CURL_HOME", "DENO_CERT", "CARGO_HTTP_CAINFO", "PIP_CERT", "PERLLIB",
    "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH",
    "GCONV_PATH", "LOCPATH", "NLSPATH", "HOSTALIASES", "RESOLV_HOST_CONF", "LOCALDOMAIN",
    "EDITOR", "VISUAL", "PAGER", "BROWSER", "LESSOPEN", "LESSCLOSE", "OPENSSL_CONF",
    "OPENSSL_MODULES", "OPENSSL_ENGINES", "KUBECONFIG", "DOCKER_HOST", "SSH_AUTH_SOCK",
}  # fmt: skip
_RESERVED_PREFIXES = (
    "LD_", "DYLD_", "PYTHON", "NODE_", "NPM_CONFIG_", "PERL5", "GIT_", "GLIBC_", "MALLOC_",
    "BASH_FUNC_", "RINGFENCE_", "XDG_",
)  # fmt: skip

# The address blocks a rule may open with allowPrivate. Link-local is missing on purpose: it
# holds the metadata services of the clouds (169.254.169.254, fd00:ec2::254 is excluded below).
_PRIVATE: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
_METADATA = IPv6Address("fd00:ec2::254")


def reserved_env(name: str) -> bool:
    """Say whether a variable belongs to the box or could change what a program loads."""
    upper = name.upper()
    return upper in _RESERVED or upper.startswith(_RESERVED_PREFIXES)


def host_fault(host: str, *, wildcard: bool = True) -> str:
    """Say in one line what is wrong with a host pattern; empty when nothing is."""
    if ":" in host or _DIGITS_LAST.fullmatch(host):
        # inet_aton also reads 127.1, 0x7f.1 and 2130706433 as loopback.
        return _address_fault(host)
    if re.fullmatch(HOST, host) is None:
        if host != host.lower():
            return "hosts are written in lower case"
        if "*" in host:
            return 'a "*" stands only for the whole left label, above at least two more'
        return "a host is letters, digits and hyphens in labels between dots"
    if "*" in host and not wildcard:
        return 'this host has to be exact, without "*"'
    return "" if len(host) <= 253 else "a host has at most 253 characters"


def _address_fault(host: str) -> str:
    try:
        address = IPv6Address(host) if ":" in host else IPv4Address(host)
    except AddressValueError:
        return "an address is written as four numbers or as canonical IPv6 without brackets"
    mapped = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.scope_id)
    if mapped or str(address) != host:
        return f"this address has a plainer spelling than {host[:60]}"
    return ""


def covers(pattern: str, host: str) -> bool:
    """Say whether a host pattern takes in an exact host. A `*` takes one label."""
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:]
    return pattern == host


def path_fault(path: str) -> str:
    """Say in one line what is wrong with a path glob; empty when nothing is."""
    if not path.startswith("/"):
        return 'a path starts with "/"'
    if any(segment in {".", ".."} for segment in path.split("/")):
        return 'a path has no "." or ".." segments'
    if re.fullmatch(PATH, path) is None:
        return 'a path is plain text and "*" between single slashes, not encoded, without query'
    return ""


def private_fault(text: str) -> str:
    """Say in one line what is wrong with an address block of allowPrivate; empty when nothing."""
    try:
        block = ip_network(text)
    except ValueError:
        return "an address or a block such as 10.1.0.0/16 (host bits zero)"
    inside = any(
        block.version == known.version
        and int(known.network_address) <= int(block.network_address)
        and int(block.broadcast_address) <= int(known.broadcast_address)
        for known in _PRIVATE
    )
    if not inside or (block.version == 6 and _METADATA in block):
        return "only loopback and private blocks can be opened, never link-local or metadata"
    return ""
