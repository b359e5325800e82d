"""Alarms of the made-up estate (console_preview.py), in every state, and what becomes of them when a person acts."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import msgspec

from cloud.alarms.rules.model import Text, Texts
from cloud.console.alarms.data import (
    HELD_STATES,
    Acknowledge,
    Act,
    AlarmRow,
    AlarmState,
    Assign,
    Came,
    Colleague,
    Comment,
    Crowd,
    Flood,
    Label,
    Outcome,
    Priority,
    PutLabel,
    ReturnToService,
    Say,
    Shelve,
    Situation,
    TakeOutOfService,
    Told,
    ToldState,
    Transition,
    UndoAcknowledge,
    Unshelve,
    Window,
    WindowKind,
)
from cloud.console.data import DeviceRow, Person, Place
from cloud.console.live.hub import Hub

SPACE = UUID("6f1c8f0e-0000-4000-8000-000000000001")
ESTATE = "幸福里小区"
UNACK, ACKED, RTNUN, NORM = AlarmState.UNACK, AlarmState.ACKED, AlarmState.RTNUN, AlarmState.NORM
SHLVD, DSUPR, OOSRV = AlarmState.SHLVD, AlarmState.DSUPR, AlarmState.OOSRV
UNDO = timedelta(seconds=60)
COLLEAGUES = (Colleague("7", "李强", "operator"), Colleague("3", "周伟", "manager"))
CRITICAL, HIGH, MEDIUM, LOW = Priority
REST = tuple[str, tuple[str, ...], str]


def _texts(zh: tuple[str, REST], en: tuple[str, REST]) -> Texts:
    return Texts(**{
        name: Text(title=title, meaning=meaning, do=list(do), who=who)
        for name, (title, (meaning, do, who)) in (("zh", zh), ("en", en))
    })  # fmt: skip


SILENT_ZH: REST = (
    "{kind}没有任何信号。现在那里如果出事，它不会上报。",
    ("用别的办法盯住这个位置：派人去看，并看消防主机。", "检查电源和接线；几台同时失联时，查总线和网关。"),
    "值班员；一小时内不恢复找维保",
)
SILENT_EN: REST = (
    "The {kind} says nothing any more. If something happened there now, it would not report it.",
    ("Watch this place by other means: send somebody to look, and watch the fire-alarm panel.",
     "Check its power and wiring; where several are silent at once, check their bus and the gateway."),
    "The operator; maintenance if it is not back within an hour",
)  # fmt: skip
STATE_ZH: REST = ("{kind}报告了需要人处理的状态。", ("派人到现场，或打电话给住户。", "有人处理后再确认。"), "值班员")
STATE_EN: REST = (
    "The {kind} reports a state that wants a person.",
    ("Send somebody there, or call the household.", "Acknowledge once somebody is on it."),
    "The operator on duty",
)
SMOKE_ZH: REST = (
    "烟感探测到烟雾。",
    ("马上派人到现场，或打电话给住户，不要挂断。", "看到烟或火：打 119，然后打开下面的门，让人出来、让消防队进去。",
     "没有烟：看探测器附近有没有做饭、灰尘或水汽，让它自己恢复。"),
    "值班员通知，保安到场",
)  # fmt: skip
SMOKE_EN: REST = (
    "The smoke detector reports smoke.",
    ("Send somebody there now, or call the household, and stay on the line.",
     "Smoke or fire: call 119, then open the doors below for the people and the fire brigade.",
     "No smoke: look for cooking, dust or steam at the detector, and let it return by itself."),
    "The operator calls, a guard goes there",
)  # fmt: skip
TEXTS = {
    "smoke": _texts(("烟感报警", SMOKE_ZH), ("smoke", SMOKE_EN)),
    "silent": _texts(("{kind}失联", SILENT_ZH), ("{kind} silent", SILENT_EN)),
    "gateway_silent": _texts(("网关失联", SILENT_ZH), ("gateway silent", SILENT_EN)),
    "fault": _texts(("{kind}故障", STATE_ZH), ("{kind} faulty", STATE_EN)),
    "held_open": _texts(("门超时未关", STATE_ZH), ("door held open", STATE_EN)),
    "water_level": _texts(("水位过高", STATE_ZH), ("water level high", STATE_EN)),
    "contamination": _texts(("烟感脏污", STATE_ZH), ("detector dirty", STATE_EN)),
}
LIFE_SAFETY = {"smoke"}


class FakeAlarms:
    """Fulfils AlarmsData for FakeEstate, which has `hub`, `device_rows` and `start`."""

    hub: Hub
    device_rows: dict[int, DeviceRow]

    def make_alarms(self, rows: Iterable[AlarmRow]) -> None:
        self.alarm_rows = {row.id: row for row in rows}
        self.history = {row.id: _history(row) for row in self.alarm_rows.values()}
        self.comments: dict[UUID, list[Comment]] = {}
        self.undoable: dict[UUID, tuple[str, AlarmState]] = {}
        self.flood: Flood | None = None
        self.windows: tuple[Window, ...] = ()
        self.tellings = {row.id: _told(row) for row in self.alarm_rows.values() if row.id == uuid5(SPACE, "smoke")}
        self.refusal = ""
        """What the next act is refused with."""

    def _seen(self, person: Person, row: AlarmRow) -> AlarmRow:
        """The row as this person sees it."""
        taken = self.undoable.get(row.id)
        is_mine = taken is not None and taken[0] == person.id and row.acked_at is not None
        return msgspec.structs.replace(
            row,
            allowed=person.actions,
            is_mine=row.assignee == person.name,
            undo_until=row.acked_at + UNDO if is_mine and row.acked_at else None,
            beneath=sum(other.cause == row.id for other in self.alarm_rows.values() if other.state is DSUPR),
        )

    def _those(self, person: Person, wanted: Callable[[AlarmState], bool]) -> list[AlarmRow]:
        return [self._seen(person, row) for row in self.alarm_rows.values() if wanted(row.state)]

    async def held_alarms(self, person: Person, limit: int) -> tuple[Sequence[AlarmRow], int]:
        rows = self._those(person, lambda state: state in HELD_STATES)
        return rows[:limit], len(rows)

    async def ended_alarms(self, person: Person, limit: int) -> Sequence[AlarmRow]:
        ended = self._those(person, lambda state: state is NORM)
        return sorted(ended, key=lambda row: row.changed_at, reverse=True)[:limit]

    async def alarm(self, person: Person, alarm_id: UUID) -> AlarmRow | None:
        row = self.alarm_rows.get(alarm_id)
        return self._seen(person, row) if row else None

    async def alarm_history(self, person: Person, alarm_id: UUID) -> Sequence[Transition]:
        return self.history.get(alarm_id, [])

    async def alarm_comments(self, person: Person, alarm_id: UUID) -> Sequence[Comment]:
        return self.comments.get(alarm_id, [])

    async def told(self, person: Person, alarm_id: UUID) -> Sequence[Told]:
        return self.tellings.get(alarm_id, [])

    async def beneath(self, person: Person, alarm_id: UUID, limit: int) -> Sequence[AlarmRow]:
        return [row for row in self._those(person, lambda state: state is DSUPR) if row.cause == alarm_id][:limit]

    async def colleagues(self, person: Person, alarm_id: UUID) -> Sequence[Colleague]:
        return [one for one in COLLEAGUES if one.id != person.id]

    async def situation(self, person: Person) -> Situation:
        return Situation(self.flood, self.windows)

    async def doors_near(self, person: Person, alarm: AlarmRow) -> Sequence[DeviceRow]:
        doors = [row for row in self.device_rows.values() if row.kind in {"door", "vehicle_gate"}]
        return sorted(doors, key=lambda row: row.place.building != alarm.place.building)[:6]

    async def act(self, person: Person, alarm_id: UUID, act: Act) -> Came:
        row = self.alarm_rows.get(alarm_id)
        if row is None:
            return Came(Outcome.MISSING)
        if self.refusal:
            return Came(Outcome.REFUSED, self.refusal)
        changed = self._acted(person, row, act, datetime.now(UTC))
        if changed is None:
            return Came(Outcome.ALREADY)
        self.alarm_rows[alarm_id] = changed
        self.hub.publish(["alarms"])
        return Came(Outcome.DONE)

    def _acted(self, person: Person, row: AlarmRow, act: Act, now: datetime) -> AlarmRow | None:
        def to(state: AlarmState, event: str, why: str = "", **more: object) -> AlarmRow:
            self.history[row.id].append(Transition(now, row.state, state, event, person.name, why or None))
            return msgspec.structs.replace(row, state=state, changed_at=now, **more)

        match act:
            case Acknowledge():
                after = {UNACK: ACKED, RTNUN: NORM}.get(row.state)
                if after is None:
                    return None
                self.undoable[row.id] = (person.id, row.state)
                return to(after, "acknowledge", acked_by=person.name, acked_at=now)
            case UndoAcknowledge():
                by, before = self.undoable.pop(row.id, ("", NORM))
                if by != person.id:
                    return None
                return to(before, "undo", acked_by=None, acked_at=None)
            case Shelve(ends, why) | TakeOutOfService(ends, why):
                state, event = (SHLVD, "shelve") if isinstance(act, Shelve) else (OOSRV, "out_of_service")
                until = now + ends if isinstance(ends, timedelta) else ends
                return to(state, event, why, hold_until=until, hold_why=why, held_by=person.name)
            case Unshelve() | ReturnToService():
                if row.state not in HELD_STATES:
                    return None
                return to(UNACK, "unshelve", hold_until=None, hold_why="", held_by=None)
            case Assign(given):
                name = next((one.name for one in COLLEAGUES if one.id == given), person.name)
                return to(row.state, "assign", name, assignee=name)
            case PutLabel(label):
                return msgspec.structs.replace(row, label=label)
            case Say(text):
                self.comments.setdefault(row.id, []).append(Comment(now, person.name, text))
                return row

    def raise_smoke(self, building: str = "7", floor: str = "12") -> AlarmRow:
        """A new smoke alarm, now."""
        now = datetime.now(UTC)
        row = AlarmRow(
            uuid5(SPACE, f"{now}"), "smoke", CRITICAL, UNACK, 11, "烟感 0701", "smoke_detector", "smoke",
            Place(ESTATE, building, "1", floor), now, now, "smoke", texts=TEXTS["smoke"], curve="obscuration",
            life_safety=True,
        )  # fmt: skip
        self.alarm_rows[row.id] = row
        self.history[row.id] = _history(row)
        self.hub.publish(["alarms"])
        return row

    def make_flood(self, count: int = 40) -> None:
        """So many alarms at once, and a drill beside them."""
        now = datetime.now(UTC)
        for n in range(count):
            rule, priority, kind, point = (
                ("smoke", CRITICAL, "smoke_detector", "smoke") if n % 5 == 0 else ("fault", HIGH, "pump", "fault")
            )
            raised = now - timedelta(seconds=400 - n * 9)
            row = AlarmRow(
                uuid5(SPACE, f"flood {n}"), rule, priority, ACKED if n % 7 == 3 else UNACK, 11, f"设备 {n}", kind,
                point, Place(ESTATE, str(1 + n % 4), str(1 + n % 2), str(n)), raised, raised, point,
                texts=TEXTS[rule], acked_by="李强" if n % 7 == 3 else None, acked_at=now if n % 7 == 3 else None,
            )  # fmt: skip
            self.alarm_rows[row.id] = row
            self.history[row.id] = _history(row)
        crowds = tuple(Crowd(Place(ESTATE, str(1 + n)), 10) for n in range(4))
        self.flood = Flood(now - timedelta(seconds=400), 46, crowds)
        self.make_windows()

    def make_windows(self) -> None:
        """A drill and maintenance under way."""
        until = datetime.now(UTC) + timedelta(minutes=40)
        self.windows = (
            Window("1", WindowKind.DRILL, Place(ESTATE, "5"), until, "季度消防演练", "周伟"),
            Window("2", WindowKind.MAINTENANCE, Place(ESTATE, None, None, None, "地下车库"), until, "更换水泵", "周伟"),
        )


def made_up(now: datetime, devices: dict[int, DeviceRow]) -> list[AlarmRow]:
    """An evening's alarms, in every state."""

    def row(key, rule, priority, state, device, point, since, value, **more):
        d = devices[device]
        raised = now - since
        return AlarmRow(
            uuid5(SPACE, key), rule, priority, state, d.id, d.name, d.kind, point, d.place, raised,
            more.pop("changed", raised), value, texts=TEXTS[rule], life_safety=rule in LIFE_SAFETY,
            curve="obscuration" if rule == "smoke" else "", **more,
        )  # fmt: skip

    acked = {"acked_by": "李强", "acked_at": now - timedelta(minutes=21)}
    box = AlarmRow(
        uuid5(SPACE, "gateway"), "gateway_silent", HIGH, ACKED, None, "地下车库", "gateway", "silent",
        Place(ESTATE, None, None, None, "地下车库"), now - timedelta(minutes=47), now - timedelta(minutes=47), "silent",
        texts=TEXTS["gateway_silent"], gateway_id=uuid5(SPACE, "gateway 2"), assignee="李强", **acked,
    )  # fmt: skip
    beneath = {"cause": box.id, "stale": True}
    return [
        row("smoke", "smoke", CRITICAL, UNACK, 1, "smoke", timedelta(seconds=134), "smoke"),
        row("held", "held_open", HIGH, UNACK, 12, "held_open", timedelta(minutes=9), "held", repeats=4),
        row("lift", "fault", HIGH, ACKED, 16, "fault", timedelta(minutes=24), "fault", **acked),
        row("level", "water_level", MEDIUM, RTNUN, 15, "level", timedelta(minutes=67), 0.43, limit=0.6, holds=False),
        box,
        row("drilled", "smoke", CRITICAL, ACKED, 2, "smoke", timedelta(minutes=31), "smoke", drill=True, **acked),
        row("pump", "silent", MEDIUM, DSUPR, 13, "link", timedelta(minutes=47), "offline", **beneath),
        row("back", "silent", MEDIUM, DSUPR, 17, "link", timedelta(minutes=47), "offline", **beneath),
        row("dirty", "contamination", LOW, SHLVD, 3, "contamination", timedelta(hours=5), "dirty",
            hold_until=now + timedelta(hours=2), hold_why="清洗已预约，周三上门", held_by="王敏"),
        row("repair", "fault", HIGH, OOSRV, 16, "fault", timedelta(hours=30), "fault",
            hold_until=now + timedelta(days=2), hold_why="电梯公司更换门机", held_by="周伟"),
        row("old", "smoke", CRITICAL, NORM, 2, "smoke", timedelta(hours=9), "clear",
            changed=now - timedelta(hours=8, minutes=52), holds=False, label=Label.FALSE, **acked),
        row("older", "smoke", CRITICAL, NORM, 11, "smoke", timedelta(days=2), "clear",
            changed=now - timedelta(days=2), late=True, holds=False, **acked),
    ]  # fmt: skip


def _history(row: AlarmRow) -> list[Transition]:
    steps = [Transition(row.raised_at, NORM, UNACK, "raise")]
    if row.acked_at:
        steps.append(Transition(row.acked_at, UNACK, ACKED, "acknowledge", who=row.acked_by))
    if row.state is SHLVD:
        steps.append(
            Transition(row.raised_at + timedelta(minutes=9), UNACK, SHLVD, "shelve", row.held_by, row.hold_why)
        )
    return steps


def _told(row: AlarmRow) -> list[Told]:
    at = row.raised_at
    return [
        Told("王敏", "控制台值班短信", ToldState.ACCEPTED, at + timedelta(seconds=2)),
        Told("", "物业钉钉群", ToldState.REFUSED, at + timedelta(seconds=2), code="130101", reason="send too fast"),
        Told("", "物业企业微信群", ToldState.ACCEPTED, at + timedelta(seconds=4)),
        Told("李强", "邮件", ToldState.UNCERTAIN, at + timedelta(seconds=62)),
        Told("周伟", "电话平台", ToldState.WAITS),
    ]
