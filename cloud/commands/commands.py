"""From an order to its answer."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter

from cloud.store import Connection, Database, commands, devices, people
from cloud.store.commands import Ordered, Wanted
from cloud.store.errors import storable
from contract.errors import AnjuError, Retryable
from contract.messages import CommandResult, CommandStatus

log = structlog.get_logger()
_ANSWERS = Counter("anju_command_answers", "Answers of boxes to commands", ["status"])
LASTS = timedelta(seconds=30)
"""How long an order to a door may wait: whoever pressed the button is still looking."""
_EXPIRE_EVERY_S = 2.0
_ARGS: dict[str, tuple[int, int]] = {"seconds": (1, 60)}
"""Arguments a person may give, and their range; the box checks again by the device's profile."""
_MOST_TEXT = 200
"""Characters of what a display shows or a loudspeaker says."""


FINAL = frozenset(
    {CommandStatus.EXECUTED, CommandStatus.SENT_NOT_CONFIRMED, CommandStatus.FAILED, CommandStatus.REFUSED}
)
"""What a box may answer; the other words are the cloud's own knowledge."""


class CommandRefusedError(AnjuError):
    """The order cannot be given, and why."""


class Commands:
    """Queues orders and takes the boxes' answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def order(
        self,
        device: int,
        point: str,
        args: Mapping[str, object],
        estates: Sequence[int],
        person: int,
        who: str,
        address: str = "",
    ) -> UUID:
        """An order for a device of one of these estates; returns its id. Raises CommandRefusedError."""
        if problem := _problem(args):
            raise CommandRefusedError(problem)
        command = uuid4()
        async with self._database.transaction() as connection:
            found = await devices.get(connection, device, estates)
            if found is None or point not in found.commands:
                raise CommandRefusedError(f"device {device} has no command {point}")
            not_after = datetime.now(UTC) + LASTS
            await commands.put(connection, command, found.gateway, device, point, args, not_after, person, who)
            detail = {"command": str(command), **args}
            await people.audit(connection, person, who, f"command {point}", f"device {device}", detail, address)
        await self._database.wake({f"gateway:{found.gateway}", f"device:{device}"})
        return command

    async def order_all(
        self,
        connection: Connection,
        wanted: Sequence[Wanted],
        estates: Sequence[int],
        person: int | None,
        who: str,
        address: str = "",
    ) -> list[Ordered]:
        """Orders for many devices of these estates, in the caller's transaction; what came of each, in their order.

        The caller wakes `gateway:<id>` of each after the commit. What cannot be ordered keeps nothing else back.
        """
        known = await commands.orderable(connection, [want.device for want in wanted], estates)
        ordered, new = [], []
        for want in wanted:
            found = known.get(want.device)
            problem = _problem(want.args)
            if found is None or want.point not in found.commands:
                problem = f"device {want.device} has no command {want.point}"
            if problem or found is None:
                ordered.append(Ordered(want.device, want.point, None, problem=problem))
                continue
            command = commands.NewCommand(uuid4(), found.gateway, want.device, want.point, want.args)
            new.append(command)
            ordered.append(Ordered(want.device, want.point, command.id, found.gateway))
        if new:
            await commands.put_all(connection, new, LASTS, person, who)
            deeds = [(f"command {n.point}", f"device {n.device}", {"command": str(n.id), **n.args}) for n in new]
            await people.audit_all(connection, person, who, deeds, address)
        return ordered

    async def answer(self, connection: Connection, gateway: UUID, results: Sequence[CommandResult]) -> set[str]:
        """Keeps the box's answers in the transaction of their records; returns the topics to wake."""
        answers = []
        for result in results:
            if result.status in FINAL:
                with suppress(ValueError):
                    answers.append((UUID(result.id), str(result.status), storable(result.reason, 500)))
                    _ANSWERS.labels(result.status).inc()
        return {f"device:{device}" for device in await commands.answer(connection, gateway, answers)}

    async def expire(self) -> None:
        """Gives up on orders whose time is up, for ever; the database's clock decides, so any process may do it."""
        while True:
            await asyncio.sleep(_EXPIRE_EVERY_S)
            try:
                async with self._database.transaction() as connection:
                    expired = await commands.expire(connection)
            except Retryable as e:
                log.warning("cannot look for expired commands", problem=str(e))
                continue
            await self._database.wake(f"device:{device}" for device in expired)


def _problem(args: Mapping[str, object]) -> str:
    """Why a command cannot have these arguments, empty where it can."""
    for name, value in args.items():
        if name == "text":
            if not isinstance(value, str) or not 1 <= len(value) <= _MOST_TEXT:
                return f"text must have 1 to {_MOST_TEXT} characters"
            continue
        if name not in _ARGS:
            return f"a command takes no {name}"
        low, high = _ARGS[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return f"{name} must be a whole number from {low} to {high}"
    return ""
