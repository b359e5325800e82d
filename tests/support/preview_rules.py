"""Rules of the made-up estate (console_preview.py): those that come with the cloud, one of them switched off."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from cloud.alarms.rules.load import pack
from cloud.console.alarms.data import Came, Outcome
from cloud.console.data import Action, Person
from cloud.console.rules.data import RuleRow, RuleVersion

OFF = "tamper"


class FakeRules:
    """Fulfils RulesData."""

    def make_rules(self, now: datetime) -> None:
        self.rule_rows = {rule.name: RuleRow(rule, is_on=rule.name != OFF, version=1) for rule in pack().rules}
        shipped = RuleVersion(1, now - timedelta(days=40), is_on=True)
        off = RuleVersion(2, now - timedelta(days=3), False, "周伟", "防拆开关普遍误报，等厂家换型")
        self.rule_history = {name: [off, shipped] if name == OFF else [shipped] for name in self.rule_rows}
        self.rule_refusal = ""

    async def rules(self, person: Person) -> Sequence[RuleRow]:
        return [self._as_seen(person, row) for row in self.rule_rows.values()]

    async def rule(self, person: Person, name: str) -> RuleRow | None:
        row = self.rule_rows.get(name)
        return self._as_seen(person, row) if row else None

    async def rule_versions(self, person: Person, name: str) -> Sequence[RuleVersion]:
        return self.rule_history[name]

    async def switch_rule(self, person: Person, name: str, why: str, *, on: bool) -> Came:
        if self.rule_refusal:
            return Came(Outcome.REFUSED, self.rule_refusal)
        row = self.rule_rows.get(name)
        if row is None:
            return Came(Outcome.MISSING)
        version = self.rule_history[name][0].version + 1
        self.rule_rows[name] = msgspec.structs.replace(row, is_on=on, version=version)
        self.rule_history[name].insert(0, RuleVersion(version, datetime.now(UTC), on, person.name, why))
        return Came(Outcome.DONE)

    def _as_seen(self, person: Person, row: RuleRow) -> RuleRow:
        return msgspec.structs.replace(row, may_switch=person.may(Action.RULES))
