"""Times in which people work on something, and fire drills: what is raised then, how it is told, and how they end.

A maintenance window takes what is raised within it out of service until its end; what is about life is raised as ever,
with a note. In a fire drill the fire alarms of its place are raised and shown as ever, marked as a drill; what still
holds when the drill is over is an alarm like any other from then on. Both end by themselves.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from cloud.alarms.engine import Engine
from cloud.alarms.rules.model import KOfN, Rule
from cloud.alarms.sources import asked_of
from cloud.store import Connection, people, storable, windows
from cloud.store.alarms import Hold, Moved, Raising
from cloud.store.due import Handled
from cloud.store.windows import Covering, Kind, Scope, WindowRow
from contract.errors import AnjuError

log = structlog.get_logger()
LONGEST: Mapping[Kind, timedelta] = {"maintenance": timedelta(days=7), "drill": timedelta(hours=4)}
FARTHEST = timedelta(days=60)
"""No further ahead can one be planned."""
MOST_OPEN = 100
"""Of an estate, so that looking what covers an alarm stays cheap."""
SAID_BEFORE = timedelta(minutes=5)
FIRE_KINDS = frozenset({"smoke_detector", "heat_detector", "manual_call_point"})
"""What a fire drill sets off."""


class WindowRefusedError(AnjuError):
    """The window or drill cannot be as it was asked for, and why."""


class NoSuchWindowError(AnjuError):
    """There is none, it is over, or it is not for this person to see."""


class By(NamedTuple):
    """Who acts: their number (None: the command of an administrator), their name, and from which address."""

    person: int | None
    who: str
    address: str = ""


EndsSoon = Callable[[Connection, Sequence[WindowRow]], Awaitable[None]]
"""Tells people, in the same transaction, that these end within five minutes."""


async def nobody(_: Connection, __: Sequence[WindowRow]) -> None:
    """The console shows it anyway."""


class Windows:
    """Opens and ends windows and drills, and says what they mean for alarms.

    `ends_soon` tells people beside the console.
    """

    def __init__(self, engine: Engine, ends_soon: EndsSoon = nobody) -> None:
        self._engine = engine
        self._ends_soon = ends_soon

    async def open(
        self, connection: Connection, kind: Kind, scope: Scope, estates: Sequence[int], by: By, why: str,
        until_at: datetime, from_at: datetime | None = None, *, now: datetime | None = None,
    ) -> UUID:  # fmt: skip
        """A window or drill in one of these estates, at once or from a time on; who, where and why is audited.

        Raises WindowRefusedError with what to change.
        """
        now = now or await windows.time(connection)
        begins = max(from_at, now) if from_at else now
        why = storable(why.strip(), 500)
        if problem := problem_of(kind, scope, estates, why, begins, until_at, now):
            raise WindowRefusedError(problem)
        if await windows.count_open(connection, scope.estate) >= MOST_OPEN:
            raise WindowRefusedError(f"there are {MOST_OPEN} windows in this estate already: end those that are done")
        made = await windows.put(connection, kind, scope, begins, until_at, why, by.person, by.who)
        if made is None:
            raise WindowRefusedError("the devices or the gateway are not of this estate")
        detail = {"scope": _said(scope), "from": begins.isoformat(), "until": until_at.isoformat(), "why": why}
        await people.audit(connection, by.person, by.who, f"open {kind}", f"area {scope.estate}", detail, by.address)
        return made

    async def end(
        self, connection: Connection, window: UUID, estates: Sequence[int], by: By, *, now: datetime | None = None
    ) -> set[str]:
        """Ends one before its time; returns the topics to wake. What still burns then is told by whoever runs `due`.

        Raises NoSuchWindowError.
        """
        ended = await windows.end(connection, window, estates, by.person, by.who, now=now)
        if ended is None:
            raise NoSuchWindowError("there is no such window or drill, or it is over already")
        detail = {"window": str(window), "why": ended.why}
        await people.audit(
            connection, by.person, by.who, f"end {ended.kind}", f"area {ended.estate}", detail, by.address
        )
        return {f"alarms:{ended.estate}"}

    async def due(self, connection: Connection, limit: int, now: datetime | None = None) -> Handled:
        """Says of those that end soon that they do, and ends those whose time is over."""
        ending = await windows.warn(connection, limit, SAID_BEFORE, now=now)
        if ending:
            await self._ends_soon(connection, ending)
        ended = await windows.end_due(connection, limit, now=now)
        for window in (window for window in ended if window.ended_who == "system"):
            await people.audit(connection, None, "system", f"end {window.kind}", f"area {window.estate}",
                               {"window": str(window.id), "why": window.why})  # fmt: skip
        topics = await self._after(ended, connection, now) | {f"alarms:{window.estate}" for window in ending}
        return Handled(len(ending) + len(ended), frozenset(topics))

    async def _after(self, ended: Sequence[WindowRow], connection: Connection, now: datetime | None) -> set[str]:
        """What was told as a drill and still holds when that is over is told as what it is."""
        drills = [window.id for window in ended if window.kind == "drill"]
        wrong = await windows.unmark_drill(connection, drills) if drills else []
        if wrong:
            text = "演练已结束，报警仍未消除。 The drill is over, and this still holds: take it as a real alarm."
            await windows.note(connection, [(alarm.id, text) for alarm in wrong], now=now)
            log.warning("alarms still hold after a drill", alarms=len(wrong), estates=[w.estate for w in ended])
            await self._engine.announce(connection, [alarm.id for alarm in wrong if alarm.state == "UNACK"])
        return {f"alarms:{window.estate}" for window in ended}

    async def holds(
        self, connection: Connection, raisings: Sequence[Raising], *, now: datetime | None = None
    ) -> dict[int, Hold]:
        """Which of what is about to be raised goes out of service until a window ends, by position."""
        ours = [n for n, raising in enumerate(raisings) if not raising.life_safety]
        found = await windows.covering(connection, [asked_of(raisings[n].subject) for n in ours], now=now)
        return {
            ours[over.position]: Hold("OOSRV", over.until_at, over.why) for over in found if over.kind == "maintenance"
        }

    async def raised(self, connection: Connection, moved: Sequence[Moved], *, now: datetime | None = None) -> None:
        """Marks fire alarms of a drill as one, and notes at alarms about life that people work there."""
        book = self._engine.book
        told = [
            (alarm, rule)
            for alarm in moved
            if alarm.to_state == "UNACK" and (rule := book.get(alarm.rule)) is not None and rule.life_safety
        ]
        if not told:
            return
        found = await windows.covering(connection, [asked_of(alarm.subject) for alarm, _ in told], now=now)
        over_it = [(*told[over.position], over) for over in found]
        drills = {alarm.alarm: over for alarm, rule, over in over_it if over.kind == "drill" and is_fire(alarm, rule)}
        marked = await windows.mark_drill(connection, {alarm: over.id for alarm, over in drills.items()})
        noted = [(alarm, _note(drills[alarm])) for alarm in marked]
        noted += [
            (alarm.alarm, _note(over))
            for alarm, _, over in over_it
            if over.kind == "maintenance" and alarm.from_state == "NORM"  # once, not each time it comes again
        ]
        await windows.note(connection, noted, now=now)


def is_fire(alarm: Moved, rule: Rule) -> bool:
    """Whether an alarm is what a fire drill sets off."""
    if isinstance(rule.form, KOfN):
        return all(member.kind in FIRE_KINDS for member in rule.form.of)
    return alarm.subject.kind in FIRE_KINDS


def _note(over: Covering) -> str:
    until = f"{over.until_at:%Y-%m-%d %H:%M} UTC"
    if over.kind == "drill":
        return f"消防演练中（至 {until}）：{over.why}。 Raised in a fire drill that ends at {until}: {over.why}."
    return (
        f"此处正在检修（至 {until}）：{over.why}。请先当真实报警处理。"
        f" People work here until {until}: {over.why}. Take it as real until you know."
    )


def problem_of(
    kind: Kind, scope: Scope, estates: Sequence[int], why: str, from_at: datetime, until_at: datetime, now: datetime
) -> str:
    """What is wrong with a window, and what to do about it; empty where nothing is."""
    if scope.estate not in estates:
        return "there is no such estate"
    if not why:
        return "say why: whoever sees an alarm held back has to know"
    if until_at <= now or until_at <= from_at:
        return "its end is over already: choose a later one"
    if until_at - from_at > LONGEST[kind]:
        most = "4 hours" if kind == "drill" else "7 days"
        return f"a {kind} lasts {most} at most, so that nothing is held back for ever: open another one after it"
    if from_at - now > FARTHEST:
        return f"it begins more than {FARTHEST.days} days ahead: plan it nearer to its time"
    if scope.unit is not None and scope.building is None:
        return "a unit is of a building: name that too"
    if scope.bus is not None and scope.gateway is None:
        return "a bus is of a gateway: name that too"
    if scope.devices is not None and not 1 <= len(scope.devices) <= 1000:
        return "name between 1 and 1,000 devices"
    return ""


def _said(scope: Scope) -> dict[str, object]:
    """A scope for the audit log."""
    named = {name: getattr(scope, name) for name in Scope.__struct_fields__ if name != "estate"}
    return {
        name: str(value) if isinstance(value, UUID) else value for name, value in named.items() if value is not None
    }
