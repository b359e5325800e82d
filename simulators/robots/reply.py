"""What the stand-ins that speak HTTP answer."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """A JSON answer."""

    said: Mapping[str, Any]
    status: int = 200


def json_of(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; empty where it is none."""
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def text_of(*parts: Any) -> str | None:
    """The parts under each other; None where one is no text, or there is nothing in any."""
    if not all(isinstance(part, str) for part in parts) or not "".join(parts).strip():
        return None
    return "\n".join(parts)
