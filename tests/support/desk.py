"""An estate whose alarms a test moves by hand, on a clock of its own: boxes, their devices, windows, sweeps."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from cloud.alarms.engine import Observation
from cloud.alarms.fewer import Fewer
from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.windows import By
from cloud.store import gateways
from cloud.store.changes import Change
from cloud.store.windows import Scope
from contract.kinds import Lane
from tests.contract.conftest import Estate
from tests.support.blocks import Chain, body, inventory

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def _at_once(rule: Rule) -> Rule:
    """A device's silence without the pack's patience: that has tests of its own."""
    return msgspec.structs.replace(rule, on_delay_s=0.0) if rule.name == "silent" else rule


class Desk:
    """An estate with its stages joined, a clock of its own, and what people were told."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.now = NOW
        self.told: list[UUID] = []
        self.ending: list[str] = []
        estate.engine.book = RuleBook(map(_at_once, RuleBook().rules))
        self.fewer = Fewer(estate.store, estate.engine, self._ends_soon)
        estate.engine.announce = self._announce

    async def _announce(self, _, alarms) -> None:
        self.told += alarms

    async def _ends_soon(self, _, ending) -> None:
        self.ending += [window.kind for window in ending]

    async def box(self, name: str, detectors: int, unit: str = "2") -> "Box":
        """A box with smoke detectors in unit `unit` of building 3."""
        async with self.estate.store.transaction() as connection:
            gateway = await gateways.put_gateway(connection, self.estate.area, name.encode().ljust(32), name, "0.1.0")
        urgent = Chain(Lane.URGENT)
        said = urgent.urgent(inventory(detectors))
        await self.estate.ingest.take(gateway, self.estate.area, urgent.stream, body(said))
        async with self.estate.store.transaction() as connection:
            await connection.execute("UPDATE device SET unit = $2 WHERE gateway = $1", gateway, unit)
            seen = "UPDATE gateway SET seen_at = $1, enrolled_at = $1 WHERE id = $2"
            await connection.execute(seen, self.now, gateway)
            await connection.execute("DELETE FROM gateway WHERE id = $1", self.estate.gateway)  # it never says anything
        rows = await self.estate.rows(
            "SELECT key, point, series.id, device FROM series JOIN device ON device.id = device WHERE gateway = $1",
            gateway,
        )
        return Box(self, gateway, {(key, point): (series, device) for key, point, series, device in rows})

    async def alarms(self, *columns: str) -> list[tuple]:
        """The active ones."""
        asked = ", ".join(columns)
        return await self.estate.rows(f"SELECT {asked} FROM alarm WHERE state <> 'NORM' ORDER BY rule, state DESC")

    async def open(self, kind: str, lasts: timedelta, why: str = "换线", **where: object) -> UUID:
        async with self.estate.store.transaction() as connection:
            return await self.fewer.windows.open(
                connection, kind, Scope(estate=self.estate.area, **where), [self.estate.area],
                By(self.estate.person, "王芳"), why, self.now + lasts, now=self.now,
            )  # fmt: skip

    async def sweep(self, after: timedelta = timedelta()) -> None:
        self.now += after
        assert await self.fewer.sweep.sweep(self.now)

    def watch(self) -> list[Observation]:
        """What the engine is shown from now on."""
        heard: list[Observation] = []
        observe = self.estate.engine.observe

        async def watched(connection, observations, **when):
            heard.extend(observations)
            return await observe(connection, observations, **when)

        self.estate.engine.observe = watched
        return heard

    async def due(self, after: timedelta = timedelta()) -> frozenset[str]:
        self.now += after
        async with self.estate.store.transaction() as connection:
            return (await self.fewer.windows.due(connection, 100, self.now)).topics


class Box:
    """A box whose devices' states change."""

    def __init__(self, desk: Desk, gateway: UUID, series: dict[tuple[str, str], tuple[int, int]]) -> None:
        self.desk, self.gateway, self.series = desk, gateway, series

    async def beat(self, blocks: int = 0, off_s: float | None = None) -> None:
        async with self.desk.estate.store.transaction() as connection:
            await connection.execute(
                "UPDATE gateway SET seen_at = $1, urgent_backlog = 0, bulk_backlog = $2 WHERE id = $3",
                self.desk.now, blocks, self.gateway,
            )  # fmt: skip
            if off_s is not None:
                self.desk.now += timedelta(milliseconds=1)
                report = {"machine_clock_off_ns": round(off_s * 1e9)}
                await connection.execute(
                    "INSERT INTO gateway_report VALUES ($1, $2, $3)"
                    " ON CONFLICT (gateway) DO UPDATE SET at = EXCLUDED.at, report = EXCLUDED.report",
                    self.gateway, self.desk.now, report,
                )  # fmt: skip

    async def says(self, device: str, point: str, word: str | None) -> None:
        await self.says_all([(device, point, word)])

    async def says_all(self, said: list[tuple[str, str, str | None]]) -> None:
        async with self.desk.estate.store.transaction() as connection:
            await connection.execute("UPDATE gateway SET seen_at = $1 WHERE id = $2", self.desk.now, self.gateway)
            await self.desk.fewer.evaluate(connection, [self.change(*one) for one in said], now=self.desk.now)

    def change(self, device: str, point: str, word: str | None) -> Change:
        series, number = self.series[device, point]
        kind = "door" if device.startswith("door") else "smoke_detector"
        return Change(
            series=series, device=number, gateway=self.gateway, estate=self.desk.estate.area, kind=kind, point=point,
            state=word, quality=0, at=self.desk.now,
        )  # fmt: skip
