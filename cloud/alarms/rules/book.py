"""The rules in force, by what they look at."""

from collections.abc import Collection, Iterable

from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import KOfN, Rule, Silence, Texts
from cloud.alarms.rules.schedule import Calendar


class RuleBook:
    """Rules by the points they look at; without any, those of the pack."""

    def __init__(self, rules: Iterable[Rule] | None = None, calendar: Calendar | None = None) -> None:
        shipped = pack() if rules is None or calendar is None else None
        self.rules = tuple(rules) if rules is not None else shipped.rules if shipped else ()
        self.calendar = calendar if calendar is not None else shipped.calendar if shipped else Calendar()
        self._by_name = {rule.name: rule for rule in self.rules}
        self._by_point: dict[tuple[str, str], tuple[Rule, ...]] = {}

    def for_point(self, kind: str, point: str, *, areas: Collection[int] = (), device: int | None = None) -> list[Rule]:
        """The rules that judge a point of a kind by itself, there where it is: `areas` from the root down."""
        return [rule for rule in self._looking(kind, point, areas, device) if not isinstance(rule.form, KOfN)]

    def gathering(self, kind: str, point: str, *, areas: Collection[int] = (), device: int | None = None) -> list[Rule]:
        """The rules for which this is one of several of a place: their source is the place (see KOfN.within)."""
        return [rule for rule in self._looking(kind, point, areas, device) if isinstance(rule.form, KOfN)]

    def get(self, name: str) -> Rule | None:
        """The rule of a name; None for one that is switched off, or that an older version had."""
        return self._by_name.get(name)

    @property
    def texts(self) -> dict[str, Texts]:
        """What people are told, by rule."""
        return {rule.name: rule.text for rule in self.rules}

    @property
    def silences(self) -> list[Rule]:
        """The rules that want to know for how long nothing was heard of a point."""
        return [rule for rule in self.rules if isinstance(rule.form, Silence) and rule.form.subject == "point"]

    def _looking(self, kind: str, point: str, areas: Collection[int], device: int | None) -> list[Rule]:
        key = (kind, point)
        if key not in self._by_point:  # as many as the vocabulary has
            self._by_point[key] = tuple(rule for rule in self.rules if rule.looks_at(kind, point))
        return [
            rule
            for rule in self._by_point[key]
            if (not rule.devices or device in rule.devices)
            and device not in rule.except_devices
            and (not rule.areas or not set(areas).isdisjoint(rule.areas))
        ]
