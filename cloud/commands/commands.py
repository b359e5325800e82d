"""From an order to its answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import structlog
from prometheus_client import Counter

from cloud.store import Connection, Database, commands, devices, people
from cloud.store.commands import WaitingCommand
from cloud.store.errors import storable
from contract.errors import AnjuError, Retryable
from contract.messages import Command, CommandResult, CommandStatus
from contract.session import HEARTBEAT_S

log = structlog.get_logger()
_ANSWERS = Counter("anju_command_answers", "Answers of boxes to commands", ["status"])
LASTS = timedelta(seconds=30)
"""How long an order to a door may wait: whoever pressed the button is still looking."""
_EXPIRE_EVERY_S = 2.0
_ARGS: dict[str, tuple[int, int]] = {"seconds": (1, 60)}
"""Arguments a person may give, and their range; the box checks again by the device's profile."""


FINAL = frozenset(
    {CommandStatus.EXECUTED, CommandStatus.SENT_NOT_CONFIRMED, CommandStatus.FAILED, CommandStatus.REFUSED}
)
"""What a box may answer; the other words are the cloud's own knowledge."""


class CommandRefusedError(AnjuError):
    """The order cannot be given, and why."""


class SupersededError(AnjuError):
    """The box has opened a newer connection, which is given its commands from now on."""


class Commands:
    """Queues orders, streams them to boxes and takes their answers. `heartbeat_s` is shorter in tests."""

    def __init__(self, database: Database, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._database = database
        self._heartbeat_s = heartbeat_s
        self._waiting: dict[UUID, asyncio.Event] = {}

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
        for name, value in args.items():
            if name not in _ARGS:
                raise CommandRefusedError(f"a command takes no {name}")
            low, high = _ARGS[name]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise CommandRefusedError(f"{name} must be a whole number from {low} to {high}")
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

    async def down(self, gateway: UUID, authenticate: Callable[[], Awaitable[object]]) -> AsyncIterator[bytes]:
        """What a box has to be told, as lines of JSON, with an empty line every heartbeat.

        `authenticate` is asked again each time; when it raises (the session expired, the box was revoked) the stream
        ends.
        """
        wake, down = asyncio.Event(), uuid4()
        self._waiting[gateway] = wake
        again = True
        try:
            while self._waiting.get(gateway) is wake:
                wake.clear()
                try:
                    await authenticate()
                    waiting = await self._take(gateway, down, again=again)
                    again = False
                except Retryable:
                    waiting = []
                except AnjuError:
                    return
                for item in waiting:
                    yield _line(item)
                if not waiting:
                    yield b"\n"
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._heartbeat_s):
                        await wake.wait()
        finally:
            if self._waiting.get(gateway) is wake:
                del self._waiting[gateway]

    async def _take(self, gateway: UUID, down: UUID, *, again: bool) -> list[WaitingCommand]:
        """What waits for this connection. Raises SupersededError once the box has a newer one, at any process."""
        async with self._database.transaction() as connection:
            if again:
                await commands.hold_down(connection, gateway, down)
            elif not await commands.holds_down(connection, gateway, down):
                raise SupersededError(f"gateway {gateway} has a newer connection")
            return await commands.take_waiting(connection, gateway, down, again=again)

    def woken(self, topics: frozenset[str]) -> None:
        """Something changed in these topics; an empty set: anything may have."""
        for gateway, event in self._waiting.items():
            if not topics or f"gateway:{gateway}" in topics:
                event.set()

    def close(self) -> None:
        """Ends all streams, so that the server can stop."""
        waiting, self._waiting = self._waiting, {}
        for event in waiting.values():
            event.set()

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


def _line(item: WaitingCommand) -> bytes:
    not_after_ns = int(item.not_after.timestamp() * 1e6) * 1000
    return msgspec.json.encode(Command(str(item.id), item.device, item.point, item.args, not_after_ns)) + b"\n"
