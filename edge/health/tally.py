"""Counts what passes through the box, for the page and the metrics, and says once what cannot be read any more."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from contract.kinds import Lane
from contract.messages import Event, Quality, Reading, Sample
from contract.records import StateRecord
from edge.health.status import PointError

log = structlog.get_logger(__name__)
_BULK: Final = Lane.BULK


class Tally:
    """Samples and readings since this run began, which devices are on line, and which points cannot be read."""

    def __init__(
        self,
        devices: Iterable[str],
        restored: Iterable[StateRecord] = (),
        because: Callable[[str], str] = lambda _: "",
    ) -> None:
        """`because` says why a device cannot be heard where that is not its own fault, else "" ."""
        self._because = because
        self.samples = 0
        self.readings = dict.fromkeys(Lane, 0)
        self.events = 0
        self._links: dict[str, str | None] = dict.fromkeys(devices)
        self._errors: dict[tuple[str, str], str] = {}
        self._faulty: set[tuple[str, str]] = set()
        """Points that were said to be unreadable, until they are said to be readable again."""
        for state in restored:
            if state.point == "link" and state.device in self._links:
                self._links[state.device] = state.value

    def adopt(self, devices: Iterable[str]) -> None:
        """Goes on with these devices; what is known of those that stay is kept."""
        self._links = {device: self._links.get(device) for device in devices}
        self._errors = {key: error for key, error in self._errors.items() if key[0] in self._links}
        self._faulty = {key for key in self._faulty if key[0] in self._links}

    def count(self, samples: Sequence[Sample], taken: Sequence[Reading | Event]) -> None:
        """Takes note of one poll and what became of it."""
        self.samples += len(samples)
        errors = self._errors
        for sample in samples:
            if sample.raw is None:
                errors[sample.device, sample.point] = sample.error
            elif errors:
                errors.pop((sample.device, sample.point), None)
        before: dict[str, str | None] | None = None
        is_trouble = bool(errors or self._faulty)
        bulk, events = 0, self.events
        for item in taken:
            if isinstance(item, Event):
                self.events += 1
                continue
            if item.lane is _BULK:
                bulk += 1
                if not is_trouble:
                    continue
            if item.point == "link" and isinstance(item.value, str):
                before = before or dict(self._links)
                self._links[item.device] = item.value
            elif is_trouble:
                self._tell_point(item)
        self.readings[_BULK] += bulk
        self.readings[Lane.URGENT] += len(taken) - bulk - (self.events - events)
        if before is not None:
            self._tell_links({device: word for device, word in before.items() if self._links[device] != word})

    def devices(self, link: str | None) -> list[str]:
        """Devices whose link has this word; None for those never heard of."""
        return [device for device, word in self._links.items() if word == link]

    @property
    def errors(self) -> list[PointError]:
        """The points whose last read failed, each with what was said of it last."""
        return [PointError(device, point, error) for (device, point), error in self._errors.items()]

    def _tell_point(self, reading: Reading) -> None:
        """Says once that a point of a device that answers cannot be read, and once that it can again."""
        key = reading.device, reading.point
        is_unreadable = reading.quality is Quality.FAULT and reading.value is None and key in self._errors
        if is_unreadable and key not in self._faulty:
            self._faulty.add(key)
            log.warning("point cannot be read", device=key[0], point=key[1], why=self._errors[key])
        elif not is_unreadable and key in self._faulty:
            self._faulty.discard(key)
            log.info("point can be read again", device=key[0], point=key[1])

    def _tell_links(self, changed: dict[str, str | None]) -> None:
        """One line for all devices that were lost together, and one for those that came back; `changed` from what."""
        lost = [device for device in changed if self._links[device] == "offline"]
        back = [device for device, word in changed.items() if word == "offline"]
        if lost:
            whys = sorted({error for (device, _), error in self._errors.items() if device in lost})
            whys = whys or sorted({why for device in lost if (why := self._because(device))})
            log.warning("devices offline", devices=lost, why="; ".join(whys) or "no value for long")
        if back:
            log.info("devices online again", devices=back)
