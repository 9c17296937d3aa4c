"""The table of clients a chain may name."""

import difflib

from ringfence.agents.clients.claude import CLAUDE
from ringfence.agents.clients.client import Client
from ringfence.agents.clients.codex import CODEX
from ringfence.agents.clients.gemini import GEMINI
from ringfence.agents.clients.kiro import KIRO
from ringfence.chain.errors import InputError, Position

CLIENTS: dict[str, Client] = {client.name: client for client in (CLAUDE, CODEX, GEMINI, KIRO)}


def client_named(name: str, *, where: Position | None = None) -> Client:
    """Give the client. Raises InputError that names the nearest one we know."""
    client = CLIENTS.get(name)
    if client is None:
        near = difflib.get_close_matches(name.lower(), CLIENTS, n=1)
        known = ", ".join(CLIENTS)
        raise InputError(
            "unknown-client",
            f"there is no client {name[:64]!r}",
            hint=f"did you mean {near[0]!r}?" if near else f"clients are: {known}",
            where=where,
        )
    return client
