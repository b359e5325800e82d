"""What of boxes' readings has to be judged: the bands (rules/bands.py) of their inventories, kept while they hold."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np

from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.rules.bands import Bands, Reading
from cloud.alarms.rules.memory import Kept, Memory, Seen, time_of, us_of
from cloud.store import Connection, subjects
from cloud.store.changes import Readings
from cloud.store.conditions import Condition, Key
from cloud.store.group import Inventory
from cloud.store.newest import Newest
from contract.messages import Quality

MOST_PLACES = 2_000_000
"""What is kept of all boxes together: some 100 MB."""


class Crossing(NamedTuple):
    """What of a box's readings is news to some rule, by place and time; call `keep` once it is committed."""

    news: list[tuple[int, Seen]]
    keep: Callable[[], None]


class BoxBands:
    """The bands of one inventory of a box."""

    def __init__(self, inventory: Inventory, rules: Sequence[Sequence[Rule]]) -> None:
        self.inventory = inventory
        self.is_watched = any(rules)
        self._bands = Bands(rules) if self.is_watched else Bands(())

    def rules(self, place: int) -> Sequence[Rule]:
        """The rules that judge a place by itself."""
        return self._bands.rules[place]

    def source(self, place: int) -> str:
        """The name of a place as a source."""
        return f"series:{self.inventory.series[place]}"

    def crossing(self, readings: Readings, known: Mapping[Key, Condition]) -> Crossing:
        """What leaves its band, of what is newer than the box's newest readings; `known` is what rules remember."""
        held = self._held(readings.gateway, known)
        crossing = self._bands.crossing(readings.places, readings.at_us, readings.value, readings.quality, held or None)
        if not len(crossing.rows):
            return Crossing([], crossing.keep)
        before = _Before(readings.known, self.inventory)
        seen = crossing.seen(before.reading)
        return Crossing([one for one in seen if us_of(one[1].at) > before.at_us(one[0])], crossing.keep)

    def _held(self, gateway: UUID, known: Mapping[Key, Condition]) -> dict[int, list[tuple[Rule, Memory]]]:
        held: dict[int, list[tuple[Rule, Memory]]] = {}
        for (name, source), row in known.items():
            if row.gateway != gateway:
                continue
            (places,) = np.nonzero(self.inventory.series == int(source.removeprefix("series:")))
            for place in places.tolist():
                held.setdefault(place, []).extend(
                    (rule, memory_of(row)) for rule in self._bands.rules[place] if rule.name == name
                )
        return held


class _Before:
    """The newest reading of each place before what is looked at."""

    def __init__(self, known: Newest, inventory: Inventory) -> None:
        self._known, self._inventory = known, inventory

    def at_us(self, place: int) -> int:
        """When it was, in microseconds since 1970; 0 where there is none."""
        found = self._find(place)
        return 0 if found is None else int(self._known.at_us[found])

    def reading(self, place: int) -> Reading | None:
        """The reading itself, where it is good."""
        found = self._find(place)
        if found is None or self._known.quality[found] != Quality.GOOD or np.isnan(self._known.value[found]):
            return None
        return time_of(int(self._known.at_us[found])), float(self._known.value[found])

    def _find(self, place: int) -> int | None:
        series = self._inventory.series[place]
        found = int(np.searchsorted(self._known.series, series))
        return found if found < len(self._known.series) and self._known.series[found] == series else None


class Watched:
    """The bands of the inventories of all boxes of this process, the least asked for forgotten first."""

    def __init__(self, most_places: int = MOST_PLACES) -> None:
        self._most_places = most_places
        self._book: RuleBook | None = None
        self._kept: OrderedDict[tuple[UUID, int], BoxBands] = OrderedDict()
        self._places = 0

    async def of(
        self, connection: Connection, book: RuleBook, boxes: Sequence[Readings]
    ) -> list[tuple[Readings, BoxBands]]:
        """Those of the readings that any rule looks at, with their bands."""
        if book is not self._book:
            self._book, self._kept, self._places = book, OrderedDict(), 0
        asked = {(readings.gateway, readings.inventory_id): readings.inventory for readings in boxes}
        have = {key: self._kept[key] for key in asked if key in self._kept}
        made = await _make(connection, book, {key: asked[key] for key in asked if key not in have})
        bands = {**have, **made}
        of_boxes = [(readings, bands[readings.gateway, readings.inventory_id]) for readings in boxes]
        self._keep(book, made, asked)
        return [(readings, of_box) for readings, of_box in of_boxes if of_box.is_watched]

    def _keep(
        self, book: RuleBook, made: Mapping[tuple[UUID, int], BoxBands], asked: Iterable[tuple[UUID, int]]
    ) -> None:
        if book is not self._book:  # they changed while these were read
            return
        for key, bands in made.items():
            if key not in self._kept:
                self._kept[key] = bands
                self._places += len(bands.inventory.series)
        for key in asked:
            if key in self._kept:  # else it was forgotten meanwhile
                self._kept.move_to_end(key)
        while self._places > self._most_places and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._places -= len(gone.inventory.series)


async def _make(
    connection: Connection, book: RuleBook, missing: Mapping[tuple[UUID, int], Inventory]
) -> dict[tuple[UUID, int], BoxBands]:
    if not missing:
        return {}
    series = {number for inventory in missing.values() for number in inventory.series.tolist() if number}
    points = await subjects.of_series(connection, series)
    made = {}
    for key, inventory in missing.items():
        rules = []
        for number in inventory.series.tolist():
            of = points.get(number)
            here = book.for_point(of.kind, of.point, areas=of.areas, device=of.device) if of is not None else ()
            rules.append(tuple(here))
        made[key] = BoxBands(inventory, rules)
    return made


def memory_of(row: Condition) -> Memory:
    """What a row says that a rule remembers."""
    return Memory(row.stage, row.pending, row.since, row.due_at, msgspec.convert(row.memory, Kept))
