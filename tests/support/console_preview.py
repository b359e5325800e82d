"""The console over a made-up estate in memory: to look at its pages, and to test them without a database.

`python -m tests.support.console_preview` serves it at http://127.0.0.1:8099 (name and password: anju); a new smoke
alarm comes with POST /preview/smoke.
"""

import asyncio
import math
import random
import socket
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import msgspec
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.alarms.data import HELD_STATES, AlarmRow, AlarmState
from cloud.console.app import console
from cloud.console.data import (
    Action,
    Chain,
    CommandRow,
    DeviceRow,
    EventRow,
    Gateway,
    GatewayRow,
    Loss,
    Person,
    Place,
    PointNow,
    Readable,
    Replay,
    ReplayOutcome,
    Run,
    Series,
    SessionState,
    SetAside,
    SignedOut,
    SignIn,
    SilentGateway,
    StreamNow,
    Unseen,
)
from cloud.console.live.hub import Hub
from cloud.console.live.routes import BEAT_S
from cloud.console.live.seats import Seats
from cloud.console.quick.data import LinkState, Quick
from contract.block import Header
from contract.errors import Retryable
from contract.kinds import Lane
from contract.messages import CommandStatus, Quality
from contract.session import BusReport, GatewayReport
from tests.support.preview_alarms import ESTATE, SPACE, FakeAlarms, made_up
from tests.support.preview_incidents import FakeIncidents, made_up_incidents
from tests.support.preview_rules import FakeRules

ONLINE, OFFLINE, NEVER = SessionState.ONLINE, SessionState.OFFLINE, SessionState.NEVER
COOKIE = "preview_session"
LINKAGE = {"zone": "b3-u2", "rule": "fire-b3-u2", "action": "release", "by": "rule"}
GOOD, STALE, FAULT, UNKNOWN = Quality.GOOD, Quality.STALE, Quality.FAULT, Quality.UNKNOWN

PEOPLE = {
    "operator": Person("1", "王敏", "operator", frozenset(Action) - {Action.RULES, Action.MANAGE}),
    "worker": Person("4", "赵强", "grid_worker", frozenset({Action.RESPOND})),
    "auditor": Person("2", "陈静", "auditor"),
    "manager": Person("3", "周伟", "manager", frozenset(Action)),
}


def at(building=None, unit=None, floor=None, spot=None):
    return Place(ESTATE, building, unit, floor, spot)


class FakeIdentity:
    """Sessions are the person's key in a cookie."""

    def __init__(self) -> None:
        self.ended = False
        self.away = False
        self.ends: datetime | None = None

    async def person(self, request: Request) -> Person | None:
        if self.away:
            raise Retryable("the database is away", after_s=2)
        key = request.cookies.get(COOKIE, "")
        person = None if self.ended else PEOPLE.get(key)
        return msgspec.structs.replace(person, session=key, session_ends=self.ends) if person else None

    def signed_out(self, request: Request) -> SignedOut | None:
        return SignedOut.ENDED if COOKIE in request.cookies else None

    async def sign_in(self, request: Request, response: Response, login: str, password: str) -> SignIn:
        if login == "locked":
            return SignIn(ok=False, retry_after_s=90)
        if password != "anju":
            return SignIn(ok=False)
        response.set_cookie(COOKIE, login if login in PEOPLE else "operator", httponly=True, samesite="lax")
        return SignIn(ok=True)

    async def sign_out(self, request: Request, response: Response) -> None:
        response.delete_cookie(COOKIE)


class FakeEstate(FakeAlarms, FakeIncidents, FakeRules):
    """Alarms, devices and gateways of one estate. Times are relative to when it was made."""

    def __init__(self, hub: Hub, now: datetime | None = None, *, quiet: bool = False) -> None:
        self.hub = hub
        self.start = now or datetime.now(UTC)
        self.device_rows = _devices(self.start)
        self.make_incidents({} if quiet else made_up_incidents(self.start))
        self.make_alarms([] if quiet else made_up(self.start, self.device_rows))
        self.make_rules(self.start)
        self.command_rows: list[CommandRow] = [] if quiet else _commands(self.start)
        self.answer_after_s = 0.5
        self.broken = False
        self.away = False
        self.silent_rows = [] if quiet else _silent(self.start)
        self.boxes = _boxes(self.start)
        self.aside = {} if quiet else _aside(self.start)
        self.estates = [1]
        """Whose wake-ups a person may hear."""

    # alarms

    async def active_alarms(self, person: Person) -> Sequence[AlarmRow]:
        if self.broken:
            raise RuntimeError("a fault")
        if self.away:
            raise Retryable("the database is away", after_s=2)
        return self._those(person, lambda state: state is not AlarmState.NORM and state not in HELD_STATES)

    # devices

    async def devices(self, person: Person, search: str, limit: int) -> Sequence[DeviceRow]:
        words = search.lower().split()
        rows = [
            row
            for row in self.device_rows.values()
            if all(word in f"{row.name} {row.place.building}号楼 {row.place.spot}".lower() for word in words)
        ]
        return sorted(rows, key=lambda row: (row.place.building is None, row.place.building or "", row.id))[:limit]

    async def device(self, person: Person, device_id: int) -> DeviceRow | None:
        return self.device_rows.get(device_id)

    async def events(
        self, person: Person, device_id: int, since: datetime, limit: int, *, opened: bool = False
    ) -> Sequence[EventRow]:
        row = self.device_rows[device_id]
        ago = lambda **kw: self.start - timedelta(**kw)  # noqa: E731
        if row.kind == "smoke_detector":
            return [
                EventRow(ago(minutes=2, seconds=14), "smoke", "smoke"),
                EventRow(ago(minutes=31), "test", "idle"),
                EventRow(ago(minutes=32), "test", "testing"),
            ] if device_id == 1 else []  # fmt: skip
        if row.kind == "door":
            return [
                EventRow(ago(seconds=50), "contact", "closed"),
                EventRow(ago(seconds=62), "contact", "open"),
                EventRow(ago(seconds=63), "access", fields={"credential": "9f3c…a2", "granted": True, "reader": "in"}),
                EventRow(ago(minutes=2), "linkage", fields=LINKAGE | {"status": "executed"}),
                EventRow(
                    ago(minutes=2, seconds=4),
                    "linkage",
                    fields=LINKAGE | {"status": "failed", "why": "no answer within 1 s", "mode": "drill"},
                ),
                EventRow(ago(hours=3), "access", fields={"credential": "01be…7d", "granted": False, "reader": "in"}),
            ]
        return []

    async def commands(self, person: Person, device_id: int, limit: int) -> Sequence[CommandRow]:
        rows = [row for row in self.command_rows if row.device_id == device_id]
        return sorted(rows, key=lambda row: row.at, reverse=True)[:limit]

    async def series(self, person, device_id, point, since, until, most) -> Series:
        span = (until - since).total_seconds()
        bucket = max(span / most, 5.0)
        t, low, high, mean = [], [], [], []
        noise = random.Random(device_id)
        count = int(span / bucket)
        for index in range(count):
            unix = since.timestamp() + index * bucket
            if 0.55 < index / count < 0.62:  # the box was without power
                continue
            base = 0.05 if point == "obscuration" else 22.0
            swing = 0.02 if point == "obscuration" else 2.5
            value = base + swing * math.sin(unix / (span / 9)) + noise.gauss(0, swing / 12)
            fire = (unix - (self.start - timedelta(minutes=3)).timestamp()) / 120
            if device_id == 1 and fire > 0:
                value += (0.14 if point == "obscuration" else 6) * min(fire, 1.5)
            width = swing * (0.1 + 0.25 * min(bucket / 300, 1))
            t.append(unix)
            mean.append(value)
            low.append(value - width * abs(noise.gauss(1, 0.3)))
            high.append(value + width * abs(noise.gauss(1, 0.3)))
        return Series(t, low, high, mean, gap_s=bucket * 2.5)

    async def send_command(
        self, person: Person, device_id: int, point: str, args: Mapping[str, str | int | float | bool]
    ) -> CommandRow | None:
        row = CommandRow(
            str(uuid5(SPACE, str(len(self.command_rows)))), device_id, point, args, CommandStatus.SENT,
            person.name, datetime.now(UTC),
        )  # fmt: skip
        self.command_rows.append(row)
        asyncio.get_running_loop().call_later(self.answer_after_s, self._answer, row)
        return row

    def _answer(self, row: CommandRow) -> None:
        index = self.command_rows.index(row)
        self.command_rows[index] = msgspec.structs.replace(
            row, status=CommandStatus.EXECUTED, answered_at=datetime.now(UTC)
        )
        self.hub.publish([f"device:{row.device_id}"])

    async def topics(self, person: Person, wanted: Collection[str]) -> Mapping[str, str]:
        lists = [name for name in ("alarms", "devices", "gateways", "incidents") if name in wanted]
        found = {name: name for name in lists} | {f"{name}:{area}": name for name in lists for area in self.estates}
        devices = {f"device:{device}" for device in self.device_rows} & set(wanted) if self.estates else ()
        return found | {name: name for name in devices}

    # gateways

    async def gateways(self, person: Person) -> Sequence[GatewayRow]:
        return [box.row for box in self.boxes.values()]

    async def silent(self, person: Person) -> Sequence[SilentGateway]:
        return self.silent_rows

    async def gateway(self, person: Person, gateway_id: UUID) -> Gateway | None:
        return self.boxes.get(str(gateway_id))

    async def see_losses(self, person: Person, gateway_id: UUID, last: int) -> bool:
        box = self.boxes.get(str(gateway_id))
        if box is None:
            return False
        now = datetime.now(UTC)
        losses = tuple(
            msgspec.structs.replace(loss, seen_at=now, seen_by=person.name)
            if loss.id <= last and loss.seen_at is None
            else loss
            for loss in box.losses
        )
        left = [loss for loss in losses if loss.seen_at is None]
        self.boxes[box.row.id] = msgspec.structs.replace(
            box, losses=losses, unseen=Unseen(len(left), sum(loss.items for loss in left), left[0].id if left else 0)
        )
        self.hub.publish(["gateways"])
        return True

    # quarantine

    can_replay = True

    async def set_aside(self, person: Person, gateway_id: UUID | None, limit: int) -> tuple[Sequence[SetAside], int]:
        rows = [row for row in self.aside.values() if gateway_id is None or row.gateway_id == str(gateway_id)]
        return rows[:limit], len(rows)

    async def block(self, person: Person, block_id: int) -> tuple[SetAside, Readable] | None:
        row = self.aside.get(block_id)
        return (row, READABLE if row.stream == "urgent" else Readable(problem="not a block (magic)")) if row else None

    async def replay(self, person: Person, block_id: int) -> Replay:
        row = self.aside.get(block_id)
        if row is None:
            return Replay(ReplayOutcome.MISSING)
        if row.stream == "bulk":
            return Replay(ReplayOutcome.REFUSED, "there is no inventory 7")
        self.aside[block_id] = msgspec.structs.replace(row, replayed_at=datetime.now(UTC))
        return Replay(ReplayOutcome.STORED)

    async def drop(self, person: Person, block_id: int) -> bool:
        return self.aside.pop(block_id, None) is not None


GW = [str(uuid5(SPACE, f"gateway {n}")) for n in range(5)]
READABLE = Readable(Header(Lane.URGENT, 3, 1204, 1, bytes(range(16)), 0, 0, 7_421_000_000_000, 12), 4096)


def _report(**over) -> GatewayReport:
    return GatewayReport(
        **{
            "version": "0.1.0", "uptime_s": 1_036_800.0, "sent_bytes": 41_000_000, "received_bytes": 3_100_000,
            "month_bytes": 27_400_000, "budget_bytes": 0, "is_metered": False, "is_bulk_held": False,
            "written_bytes_a_day": 210_000_000, "disk_free_bytes": 24_600_000_000, "disk_total_bytes": 31_900_000_000,
            "is_in_memory": False, "clock_source": "session", "clock_uncertainty_ns": 21_000_000,
            "machine_clock_off_ns": -3_000_000, "lost_items": 0, "is_identity_shared": False,
            "buses": (
                BusReport("rs485-a", "modbus", is_up=True, devices=24, silent=0, poll_p99_ms=38.0),
                BusReport("ble", "ble", is_up=True, devices=12, silent=0, poll_p99_ms=0),
            ),
        } | over
    )  # fmt: skip


def _boxes(now):
    ago = lambda **kw: now - timedelta(**kw)  # noqa: E731
    streams = (StreamNow("urgent", 0, 20_481, ago(minutes=2)), StreamNow("bulk", 0, 15_003, ago(seconds=50)))
    first = (
        Chain("urgent", ago(days=40), None, None, is_first=True),
        Chain("bulk", ago(days=40), None, None, is_first=True),
    )
    again = Chain("urgent", ago(days=2), None, None, is_first=False)
    runs = (Run(ago(days=12), 0.021, "session"), Run(ago(days=40), 0.4, "system"))
    losses = (
        Loss(9, "bulk", 18_220, "storage was full", ago(hours=5)),
        Loss(4, "bulk", 0, "bulk.db was damaged, moved aside as bulk.db.damaged-1", ago(days=9), ago(days=9), "李强"),
    )

    def row(n, name, session, seen, backlog=None, error=None, devices=0, **more):
        return GatewayRow(GW[n], name, ESTATE, session, seen, "0.1.0" if seen else "", backlog, error, devices, **more)

    boxes = [
        Gateway(row(0, "消控室网关", ONLINE, ago(seconds=3), 0, 0.021, 36), ago(days=40), "6f1c0d2a99aa",
                streams=streams, runs=runs, chains=first, reported_at=ago(minutes=4), report=_report()),
        Gateway(row(1, "3号楼弱电间", ONLINE, ago(seconds=7), 128, 0.4, 24, shared=True, lost=18_220, quarantined=2),
                ago(days=90), "9a0c11ffee01", shared_at=ago(seconds=9), replaced=(GW[4],),
                streams=(StreamNow("urgent", 0, 88, ago(seconds=7)), StreamNow("bulk", 128, 90_211, ago(hours=5))),
                runs=runs, chains=(again, *first), losses=losses, unseen=Unseen(1, 18_220, 9),
                reported_at=ago(seconds=7),
                report=_report(
                    is_metered=True, budget_bytes=300_000_000, month_bytes=291_000_000, is_bulk_held=True,
                    written_bytes_a_day=9_800_000_000, disk_free_bytes=900_000_000, is_identity_shared=True,
                    machine_clock_off_ns=412_000_000_000,
                    buses=(
                        BusReport("rs485-a", "modbus", is_up=True, devices=24, silent=3, poll_p99_ms=1204.0),
                        BusReport("rs485-b", "modbus", is_up=False, devices=8, silent=8, poll_p99_ms=0,
                                  problem="there is no such port; is the adapter plugged in? (/dev/ttyUSB1)"),
                    ))),
        Gateway(row(2, "地下车库", OFFLINE, ago(minutes=47), 1933, None, 12), ago(days=20),
                streams=(StreamNow("urgent", 3), StreamNow("bulk", 1930))),
        Gateway(row(3, "北门岗亭", NEVER, None), ago(minutes=9)),
    ]  # fmt: skip
    return {box.row.id: box for box in boxes}


def _aside(now):
    rows = [
        SetAside(7, GW[1], "3号楼弱电间", ESTATE, "urgent", 3, 1204, 812,
                 "1 records cannot be kept. The first holds a name that the inventory does not have: number 2, of kind "
                 "state from smoke-9",
                 now - timedelta(hours=2)),
        SetAside(5, GW[1], "3号楼弱电间", ESTATE, "bulk", 3, 771, 40_960, "a body that is no columns",
                 now - timedelta(days=3)),
    ]  # fmt: skip
    return {row.id: row for row in rows}


def _silent(now):
    return [SilentGateway(GW[2], "地下车库", ESTATE, now - timedelta(minutes=47), 12)]


def _smoke(device_id, name, place, now, **over):
    points = {
        "link": PointNow("link", "online", GOOD, now - timedelta(seconds=4)),
        "smoke": PointNow("smoke", "clear", GOOD, now - timedelta(seconds=4)),
        "obscuration": PointNow("obscuration", 0.043, GOOD, now - timedelta(seconds=4)),
        "temperature": PointNow("temperature", 22.6, GOOD, now - timedelta(seconds=4)),
        "contamination": PointNow("contamination", "clean", GOOD, now - timedelta(minutes=12)),
        "battery": PointNow("battery", 87.0, GOOD, now - timedelta(hours=2)),
    } | {p.point: p for p in over.get("points", ())}
    return DeviceRow(device_id, name, "smoke_detector", "fx-smk16", "3号楼弱电间", place, tuple(points.values()))


def _door(device_id, name, place, now, **over):
    points = {
        "link": PointNow("link", "online", GOOD, now - timedelta(seconds=2)),
        "contact": PointNow("contact", "closed", GOOD, now - timedelta(seconds=50)),
        "lock": PointNow("lock", "locked", GOOD, now - timedelta(seconds=50)),
        "held_open": PointNow("held_open", "normal", GOOD, now - timedelta(seconds=50)),
    } | {p.point: p for p in over.get("points", ())}
    return DeviceRow(
        device_id, name, "door", "dl-acu4", "3号楼弱电间", place, tuple(points.values()), ("unlock", "release")
    )


def _devices(now):
    offline = (PointNow("link", "offline", GOOD, now - timedelta(minutes=47)),)
    rows = [
        _smoke(1, "烟感 0302-07", at("3", "2", "7", "走廊"), now, points=[
            PointNow("smoke", "smoke", GOOD, now - timedelta(seconds=1)),
            PointNow("obscuration", 0.187, GOOD, now - timedelta(seconds=1)),
            PointNow("temperature", 27.9, GOOD, now - timedelta(seconds=1)),
        ]),
        _smoke(2, "烟感 0302-08", at("3", "2", "8", "走廊"), now),
        _smoke(3, "烟感 0302-09", at("3", "2", "9", "走廊"), now, points=[
            PointNow("contamination", "dirty", GOOD, now - timedelta(hours=5)),
        ]),
        _door(4, "单元门", at("3", "2"), now),
        _door(5, "天台门", at("3", "2", None, "天台"), now, points=[
            PointNow("lock", None, UNKNOWN, None), PointNow("contact", "closed", STALE, now - timedelta(minutes=31)),
        ]),
        DeviceRow(6, "燃气 301", "gas_detector", "rq-gd2", "3号楼弱电间", at("3", "1", "3", "301 厨房"), (
            PointNow("link", "online", GOOD, now), PointNow("gas", 1.2, GOOD, now),
            PointNow("alarm", "normal", GOOD, now), PointNow("valve", "open", GOOD, now),
        )),
        _smoke(11, "烟感 0701-12", at("7", "1", "12", "走廊"), now),
        _door(12, "单元门", at("7", "1"), now, points=[
            PointNow("held_open", "held", GOOD, now - timedelta(minutes=9)),
        ]),
        DeviceRow(13, "生活水泵 1", "pump", "pump-io", "地下车库", at(None, None, None, "地下车库泵房"), (
            *offline, PointNow("running", "running", STALE, now - timedelta(minutes=47)))),
        DeviceRow(14, "北门车闸", "vehicle_gate", "gate-rtu", "北门岗亭", at(None, None, None, "北门"), (
            PointNow("link", "online", GOOD, now), PointNow("barrier", "down", GOOD, now - timedelta(minutes=4)),
        ), ("open", "close", "hold_open")),
        DeviceRow(15, "集水井液位", "water_level", "lvl-4", "地下车库", at(None, None, None, "地下车库 B2"), ()),
        DeviceRow(16, "电梯 7-1", "elevator", "elv-io", "消控室网关", at("7", "1"), (
            PointNow("link", "online", GOOD, now), PointNow("running", "running", GOOD, now),
            PointNow("fault", "fault", FAULT, now - timedelta(minutes=3)),
        )),
        _door(17, "后门", at("3", "1"), now, points=[
            *offline, PointNow("contact", "closed", STALE, now - timedelta(minutes=47)),
            PointNow("lock", "locked", STALE, now - timedelta(minutes=47)),
            PointNow("held_open", "normal", STALE, now - timedelta(minutes=47)),
        ]),
    ]  # fmt: skip
    return {row.id: row for row in rows}


def _commands(now):
    def row(key, device, point, status, minutes, reason=""):
        sent = now - timedelta(minutes=minutes)
        return CommandRow(key, device, point, {"seconds": 5}, status, "王敏", sent, sent + timedelta(seconds=1), reason)

    return [
        row("a", 4, "unlock", CommandStatus.EXECUTED, 66),
        row("b", 4, "unlock", CommandStatus.SENT_NOT_CONFIRMED, 190),
        row("c", 4, "unlock", CommandStatus.FAILED, 600, "the device refused it: exception 4: device failure"),
        row("d", 4, "unlock", CommandStatus.REFUSED, 900, "it came too late: its time to be done had passed"),
        row(
            "e",
            5,
            "unlock",
            CommandStatus.SENT_NOT_CONFIRMED,
            3,
            "lock did not become unlocked within 3 s: no answer within 1 s",
        ),
        row("f", 17, "unlock", CommandStatus.FAILED, 5, "a sentence that nobody has translated"),
    ]


def application(
    *, quiet: bool = False, beat_s: float = BEAT_S, seats: Seats | None = None
) -> tuple[FastAPI, FakeEstate, FakeIdentity, Hub]:
    """The console over a fresh estate; with a route of the preview's own to make a new alarm."""
    hub = Hub()
    estate, identity = FakeEstate(hub, quiet=quiet), FakeIdentity()
    root = FastAPI()

    @root.post("/preview/smoke")
    async def smoke(building: str = "7", floor: str = "12") -> dict[str, str]:
        return {"id": str(estate.raise_smoke(building, floor).id)}

    pages = console(
        identity, estate, estate, estate, estate, estate, hub, incidents_data=estate, https=False, beat_s=beat_s,
        seats=seats, quick_data=NoLinks(),
    )  # fmt: skip
    root.mount("/", pages)
    return root, estate, identity, hub


class NoLinks:
    """Fulfils QuickData: nobody was sent a link."""

    async def look(self, request: Request, token: str, language: str) -> Quick:
        return Quick(LinkState.UNKNOWN)

    acknowledge = look


class Server(uvicorn.Server):
    """Ends the streams before it waits for its connections, as the real service does."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self.hub = hub
        self.ready = asyncio.Event()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets=None) -> None:
        self.hub.close()
        await super().shutdown(sockets)


class Console(msgspec.Struct):
    """A running console and what stands behind it."""

    url: str
    estate: FakeEstate
    identity: FakeIdentity
    hub: Hub


@asynccontextmanager
async def served(
    *, quiet: bool = False, beat_s: float = BEAT_S, port: int = 0, seats: Seats | None = None
) -> AsyncIterator[Console]:
    """The console on a port of its own (or on one that it had before), until the block ends."""
    app, estate, identity, hub = application(quiet=quiet, beat_s=beat_s, seats=seats)
    listener = socket.create_server(("127.0.0.1", port))
    server = Server(uvicorn.Config(app, log_level="critical", lifespan="off"), hub)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await server.ready.wait()
    try:
        yield Console(f"http://127.0.0.1:{listener.getsockname()[1]}", estate, identity, hub)
    finally:
        server.should_exit = True
        await running


def main() -> None:
    app, _, _, hub = application()
    Server(uvicorn.Config(app, host="127.0.0.1", port=8099, log_level="warning"), hub).run()


if __name__ == "__main__":
    main()
