"""Takes commands from the down stream, does each once, and records its answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

import structlog

from contract.clock import mono_ns
from contract.errors import Permanent
from contract.messages import Command, CommandResult, CommandStatus, Outcome
from contract.site import ResolvedDevice
from edge.commands.check import check_command, deadline_of
from edge.commands.ledger import Ledger, LedgerError

log = structlog.get_logger(__name__)
T = TypeVar("T")

TIMEOUT_S: Final = 75.0
"""Longer than any profile lets a driver look for the effect (60 s)."""
MAX_UNDER_WAY: Final = 32
"""More commands at once are refused: nobody gives so many to one box."""
NOT_KEPT: Final = Outcome(
    CommandStatus.SENT_NOT_CONFIRMED, "the box was given it before and does not know any more what became of it"
)


class Executor(Protocol):
    """What does a command: a driver."""

    async def execute(
        self, device: str, point: str, args: Mapping[str, str | int | float | bool], deadline_ns: int
    ) -> Outcome:
        """Writes it, not after a monotonic time, and reads its effect back."""


class CommandRunner:
    """Executes commands at most once each. Make one with `open`.

    `executors` gives the driver of each device; `utc_ns` the cloud's time or None; `record` puts an answer on the
    urgent stream, on disk when it returns.
    """

    def __init__(
        self,
        ledger: Ledger,
        devices: Mapping[str, ResolvedDevice],
        executors: Mapping[str, Executor],
        utc_ns: Callable[[], int | None],
        record: Callable[[CommandResult], Awaitable[None]],
    ) -> None:
        self._ledger, self._devices, self._executors = ledger, devices, executors
        self._utc_ns, self._record = utc_ns, record
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commands")
        self._under_way: dict[str, asyncio.Task[None]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        devices: Mapping[str, ResolvedDevice],
        executors: Mapping[str, Executor],
        utc_ns: Callable[[], int | None],
        record: Callable[[CommandResult], Awaitable[None]],
    ) -> AsyncIterator[Self]:
        """Opens the file of commands and answers those that a restart cut off.

        Where the file cannot be opened the box goes on: each command tries again, and is refused until it can be. On
        leaving, commands under way are cut off; the next start answers them as sent, not confirmed.
        """
        runner = cls(Ledger(path), devices, executors, utc_ns, record)
        try:
            try:
                await runner._open()
            except LedgerError as e:
                log.error("no command is done until the file of commands can be used", problem=str(e))  # noqa: TRY400
            yield runner
        finally:
            tasks = list(runner._under_way.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await runner._in_thread(runner._ledger.close)
            runner._thread.shutdown()

    async def _open(self) -> None:
        for command_id, outcome in await self._in_thread(self._ledger.open):
            self._start(command_id, self._tell(command_id, outcome))

    async def take(self, command: Command) -> None:
        """Begins a command and returns at once; its answer comes on the urgent stream."""
        if command.id in self._under_way:
            log.warning("a command came again while it is being done", command=command.id)
        elif len(self._under_way) >= MAX_UNDER_WAY:
            await self._record(_result(command.id, _refused("this box has too many commands under way")))
        else:
            self._start(command.id, self._do(command))

    def _start(self, command_id: str, work: Awaitable[None]) -> None:
        task = asyncio.create_task(self._watched(command_id, work), name=f"command {command_id}")
        self._under_way[command_id] = task
        task.add_done_callback(lambda _: self._under_way.pop(command_id, None))

    async def _watched(self, command_id: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:
            log.exception("a command failed within this box", command=command_id)

    async def _do(self, command: Command) -> None:
        try:
            if not self._ledger.is_open:
                await self._open()
            is_new = await self._in_thread(lambda: self._ledger.begin(command))
            kept = None if is_new else await self._in_thread(lambda: self._ledger.outcome(command.id))
        except LedgerError as e:
            # Without its id on disk it could be done twice.
            await self._record(_result(command.id, _refused(f"{e}; without it a command could be done twice")))
            return
        if not is_new:
            log.warning("a command came again; it is not done twice, its answer is told again", command=command.id)
            await self._record(_result(command.id, kept or NOT_KEPT))
            return
        outcome = await self._outcome(command)
        log.info("command", command=command.id, device=command.device, point=command.point, status=outcome.status,
                 reason=outcome.reason)  # fmt: skip
        await self._tell(command.id, outcome)

    async def _outcome(self, command: Command) -> Outcome:
        refused = check_command(command, self._devices)
        if refused:
            return _refused(refused)
        try:
            # Judged here and, for it may have to wait for its bus, by the driver right before it is written.
            deadline_ns = deadline_of(command, self._utc_ns(), mono_ns())
        except Permanent as e:
            return _refused(str(e))
        executor = self._executors.get(command.device)
        if executor is None:
            return Outcome(CommandStatus.FAILED, "its bus does not run at the moment; nothing was done")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await executor.execute(command.device, command.point, command.args, deadline_ns)
        except TimeoutError:
            return Outcome(CommandStatus.SENT_NOT_CONFIRMED, f"the driver did not answer within {TIMEOUT_S:g} s")
        except Exception:
            log.exception("a driver failed at a command", command=command.id, device=command.device)
            return Outcome(CommandStatus.SENT_NOT_CONFIRMED, "an error within the box; its log has the details")

    async def _tell(self, command_id: str, outcome: Outcome) -> None:
        """On disk here first, then on the urgent stream, then noted as told: an answer may come twice, never differ.

        (Where the disk fails in between, it can: done and not kept is, after a restart, sent and not confirmed.)
        """
        try:
            await self._in_thread(lambda: self._ledger.finish(command_id, outcome))
        except LedgerError as e:
            log.warning("what became of a command cannot be kept", command=command_id, problem=str(e))
        await self._record(_result(command_id, outcome))
        try:
            await self._in_thread(lambda: self._ledger.told(command_id))
            utc_ns = self._utc_ns()
            if utc_ns is not None:
                await self._in_thread(lambda: self._ledger.prune(utc_ns))
        except LedgerError as e:
            log.warning("that a command was answered cannot be kept", command=command_id, problem=str(e))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _refused(reason: str) -> Outcome:
    return Outcome(CommandStatus.REFUSED, reason)


def _result(command_id: str, outcome: Outcome) -> CommandResult:
    return CommandResult(command_id, outcome.status, outcome.reason, mono_ns())
