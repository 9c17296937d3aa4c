"""Effects: the things an agent or a person can ask for, as one closed set of records.

Whichever door a request comes through, it becomes one of these before policy sees it, so the
same act gets the same answer everywhere.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class NetEffect:
    """One request to the outside. ``method``/``path`` are None while only a tunnel is asked for.

    ``path`` is the raw request target (with query) as sent; ``addresses`` are the resolved
    answers in dotted or colon form, empty before resolution. ``operations`` are the GraphQL
    operation (root field) names found in the body, None when the body was not inspected.
    ``method_override`` says that headers or body ask the server for another method;
    ``own_addresses`` are those of ``addresses`` that belong to this host.
    """

    host: str
    port: int
    scheme: str
    method: str | None = None
    path: str | None = None
    body_bytes: int = 0
    operations: tuple[str, ...] | None = None
    addresses: tuple[str, ...] = ()
    own_addresses: tuple[str, ...] = ()
    method_override: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEffect:
    """A placeholder seen in a request: which secret, toward which host, in which slot."""

    name: str
    host: str
    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitEffect:
    """An event an agent proposes in its outbox."""

    event: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeEffect:
    """One changed path an agent wants back in its workspace.

    ``path`` is relative with ``/``; ``kind`` is file, symlink, dir, device, fifo, socket or
    deleted; ``mode`` the permission bits; ``target`` the link target of a symlink.
    """

    path: str
    kind: str
    mode: int = 0o644
    target: str | None = None


Effect: TypeAlias = NetEffect | SecretEffect | EmitEffect | MergeEffect
