"""An estate whose people are to be told, and a channel that says what it was given, for tests of cloud/notify."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cloud.alarms.engine import Engine
from cloud.alarms.rules import RuleBook
from cloud.notify.channel import Limits, Message, Result, Start
from cloud.notify.describe import describer
from cloud.notify.escalation import Escalations, no_flood
from cloud.notify.oncall import Rotation
from cloud.notify.sender import Sender
from cloud.store import Connection, Database, oncall, people, windows
from cloud.store.oncall import ChannelRow, NewChannel, NewPolicy, Reach

START = datetime(2026, 3, 1, 19, 0, tzinfo=UTC)
"""Three o'clock in the morning at the estate."""
ORIGIN = "https://anju.example.org"
ACCEPTED = Result(accepted=True)
REFUSED = Result(accepted=False, reason="there is no such group", code="errcode 1")
BUSY = Result(accepted=False, reason="too fast", code="errcode 130101", again=True, retry_after_s=600)


class PaperChannel:
    """Keeps what it is given. `answers` are given in turn, then all is accepted; `hold` keeps requests in the gate."""

    kind = "paper"

    def __init__(self, name: str, limits: Limits, most_lines: int = 1000) -> None:
        self.name = name
        self.limits = limits
        self.sent: list[Message] = []
        self.answers: deque[Result | BaseException] = deque()
        self.connected = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.in_gate: Callable[[], Any] | None = None
        self._most_lines = most_lines

    def room(self, message: Message) -> int:
        return min(self._most_lines, len(message.lines))

    async def send(self, message: Message, start: Start) -> Result:
        self.connected.set()
        await self.go_on.wait()
        async with start():
            if self.in_gate is not None:
                await self.in_gate()
            self.sent.append(message)
        answer = self.answers.popleft() if self.answers else ACCEPTED
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def named(self) -> list[str]:
        """The ids of all that was said, in order."""
        return [line.id for message in self.sent for line in message.lines]


@dataclass
class Notified:
    """The estate, its people and channels, and the stage over them."""

    store: Database
    street: int
    estate: int
    people: dict[str, int]
    engine: Engine
    escalations: Escalations = field(default_factory=Escalations)
    papers: dict[str, PaperChannel] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)

    async def channels(self, *names: str, personal: Iterable[str] = (), **limits: int) -> None:
        """Paper channels of these names, and no others."""
        new = [
            NewChannel(name=name, kind="paper", area=self.street, config={}, language="zh", personal=name in personal)
            for name in names
        ]
        async with self.store.transaction() as connection:
            self.ids = await oncall.put_channels(connection, new)
        self.papers = {name: PaperChannel(name, Limits(rate_per_min=limits.get("rate", 1000))) for name in names}

    async def reach(self, **ways: Sequence[str]) -> None:
        """By which channels people are reached, in their order."""
        reach = []
        for login, names in ways.items():
            channels = tuple(self.ids[name] for name in names)
            reach.append(Reach(person=self.people[login], email=f"{login}@example.org", mobile="", channels=channels))
        async with self.store.transaction() as connection:
            await oncall.put_reach(connection, reach)

    async def policy(
        self, *steps: dict[str, Any], area: int | None = None, name: str = "p", every_s: int = 0, times: int = 0,
        priorities: Sequence[str] = ("critical", "high", "medium", "low"),
    ) -> None:  # fmt: skip
        """The one policy there is."""
        new = NewPolicy(
            name=name, area=area or self.estate, priorities=tuple(priorities), steps=list(steps),
            repeat_every_s=every_s, repeat_times=times,
        )  # fmt: skip
        async with self.store.transaction() as connection:
            await oncall.put_policies(connection, [new])

    async def schedule(self, name: str, *rotations: Rotation) -> None:
        """The one schedule there is."""
        body = {"name": name, "zone": "Asia/Shanghai", "rotations": [as_json(rotation) for rotation in rotations]}
        async with self.store.transaction() as connection:
            await oncall.put_schedules(connection, {name: body})

    async def alarm(
        self, priority: str = "high", count: int = 1, *, state: str = "UNACK", label: str | None = None,
        rule: str = "smoke", now: datetime | None = None, estate: int | None = None, in_drill: bool = False,
    ) -> list[UUID]:  # fmt: skip
        """Alarms that want somebody, announced in the transaction that makes them."""
        async with self.store.transaction() as connection:
            rows = await connection.fetch(
                "INSERT INTO alarm"
                " (rule, source, estate, priority, state, holds, value, raised_at, announced_at, label)"
                " SELECT $1, 'place:' || $2::int || '/' || gen_random_uuid(),"
                " $2::int, $3, $4, true, 'alarm', $5, $5, $6 FROM generate_series(1, $7) RETURNING id",
                rule, estate or self.estate, priority, state, now or START, label, count,
            )  # fmt: skip
            ids = [row["id"] for row in rows]
            if in_drill:
                drill = await connection.fetchval(
                    "INSERT INTO maintenance (kind, estate, from_at, until_at, why, who)"
                    " VALUES ('drill', $1, now(), now() + INTERVAL '1 hour', '演练', 'wang') RETURNING id",
                    estate or self.estate,
                )
                await windows.mark_drill(connection, dict.fromkeys(ids, drill))
            await self.escalations.announce(connection, ids, now=now)
        return ids

    async def set_state(self, alarm: UUID, state: str) -> None:
        await self.execute("UPDATE alarm SET state = $2 WHERE id = $1", alarm, state)

    async def acknowledge(self, alarm: UUID, login: str = "guard") -> set[str]:
        async with self.store.transaction() as connection:
            return await self.engine.acknowledge(connection, alarm, [self.estate], self.people[login], login)

    async def due(self, seconds: float | None = None) -> int:
        """Does what is due so many seconds after START, or now."""
        now = None if seconds is None else START + timedelta(seconds=seconds)
        async with self.store.transaction() as connection:
            return (await self.escalations.due(connection, 1000, now=now)).rows

    async def told(self) -> list[tuple[str, str]]:
        """Who was to be told at which step so far, in order."""
        sql = (
            "SELECT coalesce(person.login, channel.name), step FROM message"
            " LEFT JOIN person ON person.id = message.person JOIN channel ON channel.id = message.channel"
            " ORDER BY message.id"
        )
        return [(who, step) for who, step in await self.rows(sql)]

    async def states(self) -> list[str]:
        return [state for (state,) in await self.rows("SELECT state FROM message ORDER BY id")]

    async def until(self, sql: str) -> None:
        """Waits until a query finds something."""
        async with asyncio.timeout(10):
            while not await self.rows(sql):  # noqa: ASYNC110  # the database tells nobody
                await asyncio.sleep(0.02)

    async def rows(self, sql: str, *args: object) -> list[tuple]:
        async with self.store.connect() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *args)]

    async def execute(self, sql: str, *args: object) -> None:
        async with self.store.connect() as connection:
            await connection.execute(sql, *args)

    def make(self, row: ChannelRow) -> PaperChannel:
        return self.papers[row.name]

    def sender(self, **more: Any) -> Sender:
        describe = describer(lambda rule, language: None)
        return Sender(self.store, self.make, describe, ORIGIN, roles=("operator", "manager"), **more)

    async def send_all(self, sender: Sender | None = None, until: Callable[[list[str]], bool] | None = None) -> None:
        """Runs a sender until nothing waits or is under way, or the messages' states are as wanted."""
        async with running(sender or self.sender()):
            await self.settle(until)

    async def settle(self, until: Callable[[list[str]], bool] | None = None) -> None:
        """Waits while a sender runs."""
        async with asyncio.timeout(20):
            while True:
                states = await self.states()
                if until(states) if until else not {"queued", "sending"} & set(states):
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*senders: Sender) -> AsyncIterator[None]:
    """Senders that run meanwhile."""
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


def as_json(rotation: Rotation) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(rotation)


@asynccontextmanager
async def notified(url: str, connections: int = 8) -> AsyncIterator[Notified]:
    """The estate in a database that may have had one before: tests of a module share it, as to make one takes longer
    than most of them.
    """
    async with Database.open(url, connections) as store:
        async with store.connect() as connection:
            await connection.execute("TRUNCATE area, person, audit, channel, message, send, alarm CASCADE")
        yield await make_notified(store)


async def make_notified(store: Database) -> Notified:
    """A street with an estate; a guard and a second one, a manager, and a supervisor of the street."""
    roles = {"guard": "operator", "second": "operator", "manager": "manager"}
    async with store.transaction() as connection:
        street = await people.put_area(connection, None, "street", "翠苑街道", "Asia/Shanghai")
        estate = await people.put_area(connection, street, "estate", "西苑小区", "Asia/Shanghai")
        ids = {}
        for login in (*roles, "supervisor"):
            person = await people.put(connection, login, login.title(), "-", None)
            assert person is not None
            ids[login] = person
            await people.grant(
                connection, person, roles.get(login, "supervisor"), street if login == "supervisor" else estate
            )
    return Notified(store, street, estate, ids, Engine(RuleBook()))


async def ladder(scene: Notified) -> None:
    """The guard at once, the manager after five minutes, the street's supervisors after ten more; twice."""
    await scene.channels("robot")
    await scene.reach(guard=["robot"], manager=["robot"], supervisor=["robot"])
    await scene.policy(
        {"after_s": 0, "tell": [{"person": "guard"}]},
        {"after_s": 300, "tell": [{"role": "manager"}]},
        {"after_s": 600, "tell": [{"role": "supervisor", "level": "street"}]},
        every_s=900,
        times=1,
    )


def flooded(*estates: int) -> Escalations:
    """Escalations where these estates are in a flood."""

    async def in_flood(_: Connection, asked: Iterable[int]) -> set[int]:
        return set(asked) & set(estates)

    return Escalations(in_flood if estates else no_flood)
