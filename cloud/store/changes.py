"""A change as the ingest stores it and the alarms look at it, in one transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cloud.store.database import Connection


class Change(msgspec.Struct, frozen=True):
    """A state that a series took, newer than all before it: what the alarms' rules look at. `state` None: lost."""

    series: int
    device: int
    gateway: UUID
    estate: int
    kind: str
    point: str
    state: str | None
    quality: int
    at: datetime


class Happened(msgspec.Struct, frozen=True):
    """An event, as it is stored. What its fields say of people stays there: rules compare them and pass none on."""

    device: int
    gateway: UUID
    estate: int
    kind: str
    point: str
    at: datetime
    fields: Mapping[str, str | int | float | bool]


Evaluate = Callable[[Connection, Sequence[Change | Happened]], Awaitable[set[str]]]
"""Looks at changes within the transaction and returns the topics to wake after the commit."""
