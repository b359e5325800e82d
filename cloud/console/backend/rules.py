"""Rules as a person may see them, and switching one off or on."""

from collections.abc import Sequence

from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import Rule, body_of
from cloud.alarms.rules.stored import checked
from cloud.console.alarms.data import Came, Outcome
from cloud.console.backend.identity import SignedIn, signed_in
from cloud.console.data import Person
from cloud.console.rules.data import RuleRow, RuleVersion
from cloud.identity.people import Right
from cloud.store import Connection, Database, alarm_pages, rules, storable
from cloud.store.rules import RuleVersion as Stored
from contract.errors import Permanent

SAY_WHY = "say why: whoever looks for the alarms that do not come has to know"
NOT_YOURS = "it watches over estates that are not yours: ask whoever runs the platform"
_MOST_WHY = 500


class Rules:
    """Fulfils RulesData."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rules(self, person: Person) -> Sequence[RuleRow]:
        """All rules, those that are switched off as well."""
        async with self._database.connect() as connection:
            found = [(row, rule) for row in await rules.newest(connection) if (rule := _rule(row)) is not None]
            return await self._seen(connection, signed_in(person), found)

    async def rule(self, person: Person, name: str) -> RuleRow | None:
        """One rule as it stands, or stood."""
        async with self._database.connect() as connection:
            found = await self._newest(connection, name)
            if found is None or (rule := _rule(found)) is None:
                return None
            (row,) = await self._seen(connection, signed_in(person), [(found, rule)])
        return row

    async def rule_versions(self, person: Person, name: str) -> Sequence[RuleVersion]:  # noqa: ARG002 - as the protocol
        """All versions of a rule."""
        async with self._database.connect() as connection:
            found = await rules.versions(connection, storable(name, 100))
        return [
            RuleVersion(
                version=row.version,
                at=row.at,
                is_on=row.body is not None,
                who=row.who if row.person is not None else None,
                why=row.why,
            )
            for row in found
        ]

    async def switch_rule(self, person: Person, name: str, why: str, *, on: bool) -> Came:
        """A new version: none, or the last one that there was. Whoever keeps the rules in force hears of it."""
        who, why = signed_in(person), storable(why.strip(), _MOST_WHY)
        if not why:
            return Came(Outcome.REFUSED, SAY_WHY)
        async with self._database.transaction() as connection:
            found = await self._newest(connection, name)
            if found is None or (rule := _rule(found)) is None:
                return Came(Outcome.MISSING)
            (row,) = await self._seen(connection, who, [(found, rule)])
            if not row.may_switch:
                return Came(
                    Outcome.REFUSED, "it watches over estates that are not yours: ask whoever runs the platform"
                )
            if row.is_on == on:
                return Came(Outcome.ALREADY)
            body = found.last_body if on else None
            is_shipped = on and body in [body_of(shipped) for shipped in pack().rules]
            await rules.put(
                connection,
                found.name,
                body,
                who.name,
                why,
                who.known.id,
                origin="pack" if is_shipped else "person",
                address=who.address,
            )
        await self._database.wake({rules.TOPIC, "alarms"})
        return Came(Outcome.DONE)

    async def _newest(self, connection: Connection, name: str) -> Stored | None:
        return next((row for row in await rules.newest(connection) if row.name == name), None)

    async def _seen(self, connection: Connection, who: SignedIn, found: Sequence[tuple[Stored, Rule]]) -> list[RuleRow]:
        areas = {area for _, rule in found for area in rule.areas}
        devices = {device for _, rule in found for device in (*rule.devices, *rule.except_devices)}
        named = await alarm_pages.area_names(connection, areas) if areas else {}
        called = await alarm_pages.device_names(connection, devices) if devices else {}
        mine = set(who.estates(Right.RULES))
        beyond = await alarm_pages.estates_beyond(connection, mine) if mine else []
        return [
            RuleRow(
                rule=rule,
                is_on=row.body is not None,
                version=row.version,
                areas=tuple(named.get(area, str(area)) for area in rule.areas),
                devices=tuple(called.get(device, str(device)) for device in rule.devices),
                except_devices=tuple(called.get(device, str(device)) for device in rule.except_devices),
                may_switch=bool(mine) and not any(_is_watched(rule, path) for path in beyond),
            )
            for row, rule in found
        ]


def _rule(row: Stored) -> Rule | None:
    """The rule as it is, or was last; None for one that this version cannot read."""
    try:
        return checked(row.last_body) if row.last_body is not None else None
    except Permanent:
        return None


def _is_watched(rule: Rule, path: frozenset[int]) -> bool:
    """Whether a rule looks at an estate, of which these are the areas from the root down."""
    return not rule.areas or not path.isdisjoint(rule.areas)
