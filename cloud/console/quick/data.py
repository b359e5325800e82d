"""What the page of a one-time link is given."""

from enum import StrEnum
from typing import Literal, Protocol

import msgspec
from starlette.requests import Request


class LinkState(StrEnum):
    """Whether a link can be used, or why not."""

    OPEN = "open"
    DONE = "done"
    USED = "used"
    EXPIRED = "expired"
    OVER = "over"
    NOT_ALLOWED = "not allowed"
    UNKNOWN = "unknown"
    TOO_MANY = "too many"


class Quick(msgspec.Struct, frozen=True):
    """A link: its alarm as the message said it, and in whose name it acknowledges; empty where that is not shown."""

    state: LinkState
    title: str = ""
    lines: tuple[str, ...] = ()
    name: str = ""


class QuickData(Protocol):
    """One-time links. Of who asks only the address is known."""

    async def look(self, request: Request, token: str, language: Literal["zh", "en"]) -> Quick:
        """What a link is about. It changes nothing: robots and scanners look at every link they see."""

    async def acknowledge(self, request: Request, token: str, language: Literal["zh", "en"]) -> Quick:
        """Acknowledge in the name of the link's person, with its row in the audit log, and wake `alarms`."""
