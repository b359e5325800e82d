"""A change as the ingest stores it and the alarms look at it, in one transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.store.database import Connection
from cloud.store.group import Inventory
from cloud.store.newest import Newest


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


class Readings(msgspec.Struct, frozen=True):
    """What a box's blocks of one inventory bring: columns of one length, by place in the inventory, then time.

    `known` are the box's newest readings before them: what is no newer than those is history and moves nothing.
    """

    gateway: UUID
    inventory_id: int
    inventory: Inventory
    places: npt.NDArray[np.uint32]
    at_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]
    known: Newest


class Looked(msgspec.Struct, frozen=True):
    """What a look at readings came to: topics to wake after the commit, and what to call then."""

    topics: frozenset[str] = frozenset()
    committed: Callable[[], None] = lambda: None


EvaluateBulk = Callable[[Connection, Sequence[Readings]], Awaitable[Looked]]
"""Looks at readings of many boxes within the transaction that stores them, and has their bulk cursors."""


async def look_at_nothing(_: Connection, __: Sequence[Readings]) -> Looked:
    """No rule looks at readings."""
    return Looked()
