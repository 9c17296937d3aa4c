"""Settings and bounds of the broker, as frozen records that cross the control socket as JSON.

Invariants:
1. Every number a stranger could otherwise choose is bounded here, with its unit in its name.
2. An unknown or missing field is an error: a broker never starts on half-read settings.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ringfence.chain.words import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLimits:
    """Bounds of one step's connections; the defaults suit package installs and model streams."""

    connections: int = 64  # per step; a box has no reason for more at once
    head_bytes: int = 65_536  # request or reply head; common servers take 8 to 64 KiB
    header_count: int = 128
    target_bytes: int = 16_384
    buffered_body_bytes: int = 1_048_576  # read before the decision; larger bodies are streamed
    head_seconds: float = 30.0  # from the first byte of a head to its last
    idle_seconds: float = 300.0  # a model may think this long between two bytes
    dial_seconds: float = 15.0  # connect and TLS handshake together
    ack_seconds: float = 10.0  # record written by the supervisor, or we stop

    def __post_init__(self) -> None:
        if any(value <= 0 for value in asdict(self).values()):
            raise ValueError("every limit of the broker is positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """What an operator sets. ``resolver`` answers for names before the system's resolver does."""

    resolver: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra_roots_pem: str = ""
    uid: int = 199_999  # taken when started as root; owns nothing on the host
    limits: BrokerLimits = BrokerLimits()

    def to_json(self) -> dict[str, Json]:
        """Give the settings as the JSON object of the first control message."""
        return {
            "resolver": {name: list(answers) for name, answers in self.resolver.items()},
            "extra_roots_pem": self.extra_roots_pem,
            "uid": self.uid,
            "limits": asdict(self.limits),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Json]) -> "BrokerSettings":
        """Read settings. Raises ValueError for an unknown, missing or mistyped field."""
        if set(body) != {"resolver", "extra_roots_pem", "uid", "limits"}:
            raise ValueError("broker settings have an unknown or missing field")
        resolver, roots, uid, limits = (
            body["resolver"], body["extra_roots_pem"], body["uid"], body["limits"],
        )  # fmt: skip
        if not isinstance(resolver, dict) or not isinstance(roots, str):
            raise ValueError("broker settings are mistyped")  # noqa: TRY004 - one kind for callers
        if type(uid) is not int or uid <= 0 or not isinstance(limits, dict):
            raise ValueError("broker settings are mistyped")
        return cls(
            resolver={name: _answers(value) for name, value in resolver.items()},
            extra_roots_pem=roots,
            uid=uid,
            limits=_limits(limits),
        )


def _answers(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("a resolver entry is a list of addresses")
    answers = tuple(item for item in value if isinstance(item, str))
    if len(answers) != len(value):
        raise ValueError("a resolver entry is a list of addresses")
    return answers


def _limits(value: Mapping[str, Json]) -> BrokerLimits:
    numbers: dict[str, float] = {}
    for name, default in asdict(BrokerLimits()).items():
        number = value.get(name)
        if type(number) is not type(default) or not isinstance(number, int | float):
            raise ValueError(f"broker limit {name} is missing or mistyped")
        numbers[name] = number
    if len(numbers) != len(value):
        raise ValueError("an unknown broker limit")
    return BrokerLimits(**numbers)  # type: ignore[arg-type]  # ints stay ints: checked above
