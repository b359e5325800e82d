"""A change as the ingest stores it and the alarms look at it, in one transaction."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from cloud.store.database import Connection


class Change(msgspec.Struct, frozen=True):
    """A state that a series took, newer than all before it: what the alarms' rules look at. `state` None: lost."""

    series: int
    device: int
    estate: int
    kind: str
    point: str
    state: str | None
    quality: int
    at: datetime


Evaluate = Callable[[Connection, Sequence[Change]], Awaitable[set[str]]]
"""Looks at changes within the transaction and returns the topics to wake after the commit."""
