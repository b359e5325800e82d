"""What the box did by itself, as the simulated devices saw it: which of a rule's orders came, and how long it took."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from contract.profile import ModbusProfile
from contract.site import ModbusDevice, Rule, resolve
from contract.site.linkage import CAUSES, command_of
from simulators.log import Change, Entry, Write
from simulators.scenario import load_scenario

_WORDS = {"release": "released", "hold_open": "held open", "sound": "sounds"}


class Done(msgspec.Struct, frozen=True):
    """One order of a rule reached its device: after how long, since the alarm that confirmed the rule."""

    rule: str
    trigger: str
    device: str
    name: str
    do: str
    alarm: Change
    write: Write

    @property
    def took_ms(self) -> float:
        """Milliseconds from the alarm to the order."""
        return (self.write.mono_ns - self.alarm.mono_ns) / 1e6

    @property
    def words(self) -> str:
        """What happened, for a terminal."""
        return f"{self.rule}: {self.name} {_WORDS.get(self.do, self.do)} after {self.took_ms:.0f} ms"


class Watched:
    """Follows the simulator's log, which knows nothing of rules, and finds what a rule of the site explains."""

    def __init__(self, scenario: Path) -> None:
        play = load_scenario(scenario)
        devices = {item.device.id: item for item in resolve(play.site, play.profiles)}
        self._names = {device: item.device.name for device, item in devices.items()}
        self._zones = {zone.id: zone.triggers for zone in play.site.zones}
        self._rules = play.site.linkage
        self._causes = {device: CAUSES.get(item.profile.kind) for device, item in devices.items()}
        self._orders: dict[tuple[str, int, str, int], list[tuple[Rule, str, str]]] = {}
        for rule in self._rules:
            for action in rule.then:
                item = devices[action.device]
                command = command_of(item.profile, action.do)
                if not (isinstance(item.profile, ModbusProfile) and isinstance(item.device, ModbusDevice) and command):
                    continue
                write = item.profile.points[command].write
                if write is not None:
                    where = (item.bus.id, item.device.unit, str(write.table), write.address)
                    self._orders.setdefault(where, []).append((rule, action.device, action.do))
        self._alarmed: dict[str, Change] = {}
        self._confirmed: dict[str, Change] = {}
        """By rule: the alarm that confirmed it."""
        self._done: set[tuple[str, str]] = set()

    def take(self, entries: Iterable[Entry]) -> Iterator[Done]:
        """The orders among these entries that a rule gave, each the first time since its rule was confirmed."""
        for entry in entries:
            if isinstance(entry, Change):
                self._note(entry)
            elif isinstance(entry, Write):
                where = (entry.bus, entry.unit, entry.table, entry.address)
                for rule, device, do in self._orders.get(where, ()):
                    alarm = self._confirmed.get(rule.id)
                    if alarm is not None and (rule.id, device) not in self._done:
                        self._done.add((rule.id, device))
                        name = self._names
                        yield Done(rule.id, name[alarm.device], device, name[device], do, alarm, entry)

    def _note(self, entry: Change) -> None:
        cause = self._causes.get(entry.device)
        if cause is None or entry.point != cause.point:
            return
        if entry.value == cause.word:
            self._alarmed[entry.device] = entry
        else:
            self._alarmed.pop(entry.device, None)
        for rule in self._rules:
            agreeing = [device for device in self._zones[rule.zone] if device in self._alarmed]
            if len(agreeing) >= rule.needs:
                self._confirmed.setdefault(rule.id, entry)
            elif self._confirmed.pop(rule.id, None) is not None:
                self._done = {(name, device) for name, device in self._done if name != rule.id}
