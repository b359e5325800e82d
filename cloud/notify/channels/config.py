"""What the configurations of channels share."""

import re
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from cloud.notify.secrets import is_reference

Problem = tuple[str, str]
"""What is wrong, and what to do."""

Mention = Literal["nobody", "recipients", "all"]
"""Whom a message calls by name: nobody, those it is meant for, everybody of the group."""

_REFERENCE_HINT: Final = "name it as env:NAME or file:NAME, so that it stands in no database"


class Common(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every configuration has."""

    rate_per_min: int = 0
    """Fewer messages in 60 s than the service takes; 0: as many as it takes."""

    def problems(self) -> list[Problem]:
        """What is wrong with it beyond its types."""
        if not 0 <= self.rate_per_min <= 6000:
            return [("rate_per_min is not from 0 to 6000", "leave it out for what the service takes")]
        return []

    def rate(self, most: int) -> int:
        """Messages in 60 s, at most as many as the service takes."""
        return min(self.rate_per_min or most, most)

    @property
    def references(self) -> tuple[str, ...]:
        """The secrets that it names."""
        return ()


def reference_problems(**named: str) -> list[Problem]:
    """For fields that must name a secret."""
    return [
        (f"{name} does not name a secret", _REFERENCE_HINT) for name, text in named.items() if not is_reference(text)
    ]


def address_problems(**named: str) -> list[Problem]:
    """For fields that must be web addresses without a login in them."""
    return [
        (f"{name} is not a web address", "for example https://example.org/path")
        for name, text in named.items()
        if not is_web_address(text)
    ]


def is_web_address(text: str) -> bool:
    """Whether this is http(s)://host[:port][/path][?query]."""
    if not text.isprintable() or re.search(r"[\s<>\"\\]", text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and not parts.username
    except ValueError:
        return False
