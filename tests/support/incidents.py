"""An estate beneath a community and a street, with somebody on each rung of the ladder, for tests of incidents."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cloud.incidents.incidents import Actor, Incidents, Report
from cloud.incidents.machine import Act
from cloud.store import Connection, Database, people
from cloud.store.notices import Notice

START = datetime(2026, 3, 1, 19, 0, tzinfo=UTC)
"""Three o'clock in the morning at the estate."""


@dataclass
class Told:
    """What people were told, and which alarms were labelled."""

    notices: list[Notice] = field(default_factory=list)
    labels: list[tuple[UUID, str]] = field(default_factory=list)

    async def tell(self, connection: Connection, notices: Sequence[Notice]) -> None:
        self.notices += notices

    async def label(
        self, connection: Connection, alarms: Sequence[UUID], estate: int, label: str, by: Actor
    ) -> set[str]:
        self.labels += [(alarm, label) for alarm in alarms]
        return {f"labelled:{alarm}" for alarm in alarms}

    def take(self, names: dict[int, str]) -> list[str]:
        """Names of who was told since it was taken last, in their order."""
        taken, self.notices = [names[notice.person] for notice in self.notices], []
        return taken


@dataclass
class Scene:
    """The estate, its people by login, and the stage over them."""

    store: Database
    estate: int
    areas: dict[str, int]
    people: dict[str, int]
    told: Told
    incidents: Incidents

    @property
    def names(self) -> dict[int, str]:
        return {person: login for login, person in self.people.items()}

    def by(self, login: str) -> Actor:
        return Actor(self.people[login], login, "192.0.2.1")

    async def rows(self, sql: str, *args: object) -> list[tuple]:
        async with self.store.connect() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *args)]

    async def report(self, login: str = "guard", seconds: float = 0, **over: object) -> UUID:
        """Something is reported so many seconds after START."""
        said = {"estate": self.estate, "kind": "fire", "words": "二楼有烟", "reporter": "guard", "priority": "critical",
                "building": "3", "unit": "2", "floor": "7"} | over  # fmt: skip
        async with self.store.transaction() as connection:
            started = await self.incidents.report(
                connection, Report(**said), [self.estate], self.by(login), now=after(seconds)
            )
        return started.id

    async def act(self, incident: UUID, act: str, login: str = "guard", seconds: float = 0, **more: object) -> set[str]:
        """Somebody does a step so many seconds after START."""
        async with self.store.transaction() as connection:
            return await self.incidents.act(
                connection, incident, Act(act), [self.estate], self.by(login), now=after(seconds), **more
            )

    async def due(self, seconds: float, limit: int = 100) -> list[str]:
        """Looks at the limits so many seconds after START; who was told."""
        async with self.store.transaction() as connection:
            await self.incidents.due(connection, limit, now=after(seconds))
        return self.told.take(self.names)

    async def alarm(self, rule: str = "smoke", priority: str = "critical", source: str = "") -> UUID:
        """An alarm that stands, about the estate itself unless told otherwise."""
        ((alarm,),) = await self.rows(
            "INSERT INTO alarm (rule, source, estate, priority, state, holds, value, raised_at)"
            " VALUES ($1, $2, $3, $4, 'UNACK', true, 'smoke', $5) RETURNING id",
            rule, source or f"place:{self.estate}/3/2", self.estate, priority, START,
        )  # fmt: skip
        return alarm


def after(seconds: float) -> datetime:
    """So many seconds after START."""
    return START + timedelta(seconds=seconds)


LADDER = {
    "worker": ("grid_worker", "grid"), "guard": ("operator", "estate"), "manager": ("manager", "estate"),
    "community": ("supervisor", "community"), "street": ("supervisor", "street"),
}  # fmt: skip


async def make_scene(store: Database, without: Sequence[str] = ()) -> Scene:
    """The estate with one person on each rung but those left out."""
    async with store.transaction() as connection:
        areas: dict[str, int] = {}
        parent = None
        for level, name in (
            ("street", "城东街道"),
            ("community", "幸福社区"),
            ("grid", "一网格"),
            ("estate", "西苑小区"),
        ):
            parent = areas[level] = await people.put_area(connection, parent, level, name, "Asia/Shanghai")
        known = {}
        for login, (role, level) in LADDER.items():
            if login not in without:
                known[login] = await person(connection, login, role, areas[level])
    told = Told()
    return Scene(store, areas["estate"], areas, known, told, Incidents(told.tell, told.label))


async def person(connection: Connection, login: str, role: str, area: int) -> int:
    """One more person with a role."""
    made = await people.put(connection, login, login, "-", None)
    assert made is not None
    await people.grant(connection, made, role, area)
    return made
