"""Counts what passes through the box, for the page and the metrics."""

from collections.abc import Iterable, Sequence

from contract.kinds import Lane
from contract.messages import Reading
from contract.records import StateRecord


class Tally:
    """Samples and readings since this run began, and which devices are on line."""

    def __init__(self, devices: Iterable[str], restored: Iterable[StateRecord] = ()) -> None:
        self.samples = 0
        self.readings = dict.fromkeys(Lane, 0)
        self._links: dict[str, str | None] = dict.fromkeys(devices)
        for state in restored:
            if state.point == "link" and state.device in self._links:
                self._links[state.device] = state.value

    def count(self, samples: int, readings: Sequence[Reading]) -> None:
        """Takes note of one poll and what became of it."""
        self.samples += samples
        for reading in readings:
            self.readings[reading.lane] += 1
            if reading.point == "link" and isinstance(reading.value, str):
                self._links[reading.device] = reading.value

    def devices(self, link: str | None) -> list[str]:
        """Devices whose link has this word; None for those never heard of."""
        return [device for device, word in self._links.items() if word == link]
