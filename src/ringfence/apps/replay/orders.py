"""How scenarios write orders for the puppet, so that every hiding place holds the same text."""

import json

from ringfence.chain.words import Json


def order(do: str, **arguments: Json) -> str:
    """Give one order as text. ``as_`` stands for ``as``, which Python keeps for itself."""
    named = {key.rstrip("_"): value for key, value in arguments.items()}
    return f"@@DO {json.dumps({'do': do, **named})}@@"


def orders(*parts: str) -> str:
    """Give several orders as lines."""
    return "\n".join(parts) + "\n"
