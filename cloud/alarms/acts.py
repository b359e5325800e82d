"""What people do to alarms. Each act is checked against the person's estates and the lifecycle, and audited."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from cloud.alarms.machine import Happening, State
from cloud.alarms.moves import LONGEST_SHELF_OF_LIFE, Moves, topics_of
from cloud.alarms.rules import Rule, RuleBook
from cloud.store import Connection, lifecycle, people, storable
from cloud.store.alarms import Hold
from cloud.store.lifecycle import Live
from contract.errors import AnjuError

UNDO_WITHIN = timedelta(minutes=1)
LONGEST_SHELF = timedelta(hours=24)
LONGEST_OUT_OF_SERVICE = timedelta(days=90)
LABELS = ("real", "false", "test", "unknown")
Label = Literal["real", "false", "test", "unknown"]
_MOST_WHY = 500
_MOST_COMMENT = 2000


class NoSuchAlarmError(AnjuError):
    """There is no such alarm, or it is not for this person to see."""


class NotNowError(AnjuError):
    """What a person asks for cannot be done to the alarm as it stands; the sentence says what to do instead."""


class _Moving(Protocol):
    """What acts need of the engine."""

    book: RuleBook

    async def finish(self, connection: Connection, moves: Moves) -> set[str]: ...

    async def hold_anew(
        self, connection: Connection, moves: Moves, alarms: Sequence[Live], states: Collection[State]
    ) -> None: ...


class Acts:
    """Acts of people on one alarm of one of their estates, each within the caller's transaction.

    All raise NoSuchAlarmError where it is none of theirs, NotNowError where it cannot be done as things stand. They
    return the topics to wake after the commit, none where nothing changed. Whether a person may is asked before.
    """

    async def acknowledge(
        self: _Moving, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str,
        why: str = "", address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """A person takes an alarm; a second acknowledgement changes nothing."""
        found, moves = await _begin(connection, alarm, estates, now)
        if not moves.happen(found, Happening.ACKNOWLEDGE, moves.now, who, person, why):
            return set()
        await _audit(connection, "acknowledge", found, person, who, address, why=why)
        return await self.finish(connection, moves)

    async def undo_acknowledge(
        self: _Moving, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str,
        address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """Whoever acknowledged takes that back, within a minute; people are told again."""
        found, moves = await _begin(connection, alarm, estates, now)
        if found.acked_at is None or found.acked_by is None or found.state not in {State.ACKED, State.NORM}:
            raise NotNowError("it is not acknowledged: there is nothing to take back")
        if found.acked_by != person:
            raise NotNowError("somebody else acknowledged it: only they can take that back")
        if moves.now - found.acked_at > UNDO_WITHIN:
            raise NotNowError("it was acknowledged more than a minute ago: tell your colleagues by a comment instead")
        if found.state == State.NORM and await lifecycle.lock_active(connection, [(found.rule, found.source)]):
            raise NotNowError("it has come again since: see to the newer alarm")
        moves.happen(found, Happening.UNDO, moves.now, who, person)
        await _audit(connection, "undo acknowledge", found, person, who, address)
        return await self.finish(connection, moves)

    async def shelve(
        self: _Moving, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str,
        until: datetime, why: str, address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """Keeps an alarm from people until a time, at most a day; one about life at most 15 minutes."""
        found, moves = await _begin(connection, alarm, estates, now)
        is_life = _is_life(self.book.get(found.rule), found)
        longest = LONGEST_SHELF_OF_LIFE if is_life else LONGEST_SHELF
        if until > moves.now + longest:
            most = "15 minutes, for it is about life" if is_life else "24 hours: longer is out of service"
            raise NotNowError(f"it can be shelved for at most {most}")
        _hold(moves, found, State.SHLVD, until, why, who, person)
        detail = {"until": until.isoformat()}
        await _audit(connection, "shelve", found, person, who, address, why=why, detail=detail)
        return await self.finish(connection, moves)

    async def unshelve(
        self: _Moving, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str,
        address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """Ends a shelf before its time: what still holds is told, what is over ends."""
        return await _come_back(self, connection, alarm, estates, Happening.UNSHELVE, person, who, address, now)

    async def take_out_of_service(
        self: _Moving, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str,
        until: datetime, why: str, address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """People work on it until a time, 90 days at most; never one about life."""
        found, moves = await _begin(connection, alarm, estates, now)
        if _is_life(self.book.get(found.rule), found):
            raise NotNowError("it is about life, and is never taken out of service: shelve it for up to 15 minutes")
        if until > moves.now + LONGEST_OUT_OF_SERVICE:
            raise NotNowError("it can be out of service for at most 90 days: choose an earlier end")
        _hold(moves, found, State.OOSRV, until, why, who, person)
        detail = {"until": until.isoformat()}
        await _audit(connection, "take out of service", found, person, who, address, why=why, detail=detail)
        return await self.finish(connection, moves)

    async def return_to_service(
        self: _Moving, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str,
        address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """The work is done: what still holds is told, what is over ends."""
        return await _come_back(self, connection, alarm, estates, Happening.RETURN, person, who, address, now)

    async def assign(
        self, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str,
        assignee: int | None, name: str = "", address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """Somebody is on it: the person, or one that they name; None: nobody any more. `name` is the assignee's."""
        found, moves = await _begin(connection, alarm, estates, now)
        if found.state == State.NORM:
            raise NotNowError("it has ended: nobody needs to be on it")
        if not await lifecycle.assign(connection, alarm, assignee):
            return set()
        return await _noted(connection, moves, found, "assign", person, who, address, name)

    async def comment(
        self, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str, text: str,
        address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """What somebody wants others to know about it, for ever."""
        found, _ = await _begin(connection, alarm, estates, now)
        said = storable(text.strip(), _MOST_COMMENT)
        if not said:
            raise NotNowError("the comment is empty: write something")
        await lifecycle.add_comment(connection, alarm, person, who, said, now)
        await _audit(connection, "comment", found, person, who, address)
        return topics_of(found)

    async def label(
        self, connection: Connection, alarm: UUID, estates: Sequence[int], person: int, who: str, label: Label,
        address: str = "", *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """What an alarm was: real, false, a test, or nobody knows. It may be said anew."""
        found, moves = await _begin(connection, alarm, estates, now)
        if label not in LABELS:
            raise NotNowError(f"an alarm was one of {', '.join(LABELS)}")
        if not await lifecycle.label(connection, alarm, label):
            return set()
        return await _noted(connection, moves, found, "label", person, who, address, label)


async def _begin(
    connection: Connection, alarm: UUID, estates: Sequence[int], now: datetime | None
) -> tuple[Live, Moves]:
    found = await lifecycle.lock(connection, [alarm])
    if not found or found[0].estate not in estates:
        raise NoSuchAlarmError(f"there is no alarm {alarm}")
    return found[0], Moves(await lifecycle.time(connection, now))


def _is_life(rule: Rule | None, alarm: Live) -> bool:
    """Whether an alarm is about life; one whose rule is gone is, if it is critical."""
    return rule.life_safety if rule is not None else alarm.priority == "critical"


def _hold(moves: Moves, alarm: Live, state: State, until: datetime, why: str, who: str, person: int) -> None:
    if until <= moves.now:
        raise NotNowError("its end is over already: choose a later one")
    said = storable(why.strip(), _MOST_WHY)
    if not said:
        raise NotNowError("say why: whoever sees it held back has to know")
    was = State(alarm.state)
    if not moves.hold(alarm, Hold(state, until, said), who, person):
        raise NotNowError(_IS_HELD.get(was, "it has ended: there is nothing to keep back"))


_IS_HELD: Mapping[State, str] = {
    State.SHLVD: "it is shelved already: end that first",
    State.OOSRV: "it is out of service already: return it to service first",
    State.DSUPR: "it is suppressed: see to the alarm that is its cause",
}


async def _come_back(
    engine: _Moving, connection: Connection, alarm: UUID, estates: Sequence[int], happening: Happening, person: int,
    who: str, address: str, now: datetime | None,
) -> set[str]:  # fmt: skip
    found, moves = await _begin(connection, alarm, estates, now)
    if not moves.happen(found, happening, moves.now, who, person):
        return set()
    await engine.hold_anew(connection, moves, [found], {State.DSUPR})
    await _audit(connection, happening, found, person, who, address)
    return await engine.finish(connection, moves)


async def _noted(
    connection: Connection, moves: Moves, alarm: Live, event: str, person: int, who: str, address: str, why: str
) -> set[str]:
    step = lifecycle.Step(alarm.id, moves.now, alarm.state, alarm.state, event, who, person, why)
    await lifecycle.add_steps(connection, [step])
    await _audit(connection, event, alarm, person, who, address, why=why)
    return topics_of(alarm)


async def _audit(
    connection: Connection, action: str, alarm: Live, person: int, who: str, address: str, *, why: str = "",
    detail: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    said = {"rule": alarm.rule, "source": alarm.source, "why": why, **(detail or {})}
    await people.audit(connection, person, who, action, f"alarm {alarm.id}", said, address)
