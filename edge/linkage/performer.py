"""Does what the rules say: each act a task of its own, tried again until its effect is read back."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec
import structlog

from contract.clock import mono_ns
from contract.messages import CommandStatus, Outcome, Quality, Reading
from edge.linkage.orders import Begin, End, Key, Note
from edge.linkage.plan import Act

log = structlog.get_logger(__name__)

_S = 1_000_000_000
BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Between tries; the last one again and again."""
WRITE_S: Final = 10.0
"""A try that was not written by then is not written any more; the next one will be."""
ANSWER_S: Final = 5.0
"""So much longer than its write and its read-back may take, a driver has to answer."""
BLIND_TRIES: Final = 3
"""What cannot be read back is told so often."""
TOLD_TRIES: Final = 10
"""So many tries are each told; then one in as many, which is about once a minute."""
GIVEN_UP, UNDONE = "given_up", "undone"
_QUICK_NS = 2 * _S


class Executor(Protocol):
    """What does a command: a driver."""

    async def execute(
        self, device: str, point: str, args: Mapping[str, str | int | float | bool], deadline_ns: int
    ) -> Outcome:
        """Writes it, not after a monotonic time, and reads its effect back."""


class Progress(msgspec.Struct):
    """How far an order is. Kept after its end until another takes its place, for the guard page."""

    begin: Begin
    status: str = ""
    tries: int = 0
    why: str = ""
    mono_ns: int = 0


class Performer:
    """The orders under way. `executor_of` gives a device's driver; `note` takes each try and what became of it."""

    def __init__(self, executor_of: Callable[[str], Executor], note: Callable[[Note], None]) -> None:
        self._executor_of, self._note = executor_of, note
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._progress: dict[Key, Progress] = {}
        self._shown: dict[tuple[str, str], Reading] = {}
        """The last reading of each point that shows an effect."""
        self._watched: set[tuple[str, str]] = set()
        self._changed: dict[tuple[str, str], asyncio.Event] = {}

    def watch(self, acts: tuple[Act, ...]) -> None:
        """Notes which points show whether something was done."""
        self._watched |= {(act.device, act.shows[0]) for act in acts if act.shows}

    def take(self, reading: Reading) -> None:
        """What a device shows now."""
        key = reading.device, reading.point
        if key in self._watched:
            self._shown[key] = reading
            if (changed := self._changed.get(key)) is not None:
                changed.set()

    def begin(self, order: Begin) -> None:
        """Begins an order at once, in place of the one with its key."""
        self._cancel(order.key)
        progress = self._progress[order.key] = Progress(order, mono_ns=mono_ns())
        task = asyncio.create_task(self._do(order, progress), name=f"linkage {order.key}")
        self._tasks[order.key] = task
        task.add_done_callback(lambda done: self._finished(order.key, done))

    def end(self, end: End) -> None:
        """Ends the orders of one part of a rule."""
        for key, progress in list(self._progress.items()):
            is_meant = key[:2] == (end.rule, end.part) and (progress.begin.act.sounds or not end.sounds_only)
            if is_meant and key in self._tasks:
                if progress.status not in {CommandStatus.EXECUTED, ""} and progress.tries:
                    self._tell(progress, GIVEN_UP, f"after {progress.tries} tries: {progress.why}")
                self._cancel(key)

    async def close(self) -> None:
        """Ends everything."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def progress(self, rule: str) -> list[Progress]:
        """The orders of a rule, under way or ended."""
        return [progress for key, progress in self._progress.items() if key[0] == rule]

    def is_under_way(self, progress: Progress) -> bool:
        """Whether an order is still being done, or held."""
        key = progress.begin.key
        return key in self._tasks and self._progress.get(key) is progress

    def _cancel(self, key: Key) -> None:
        if (task := self._tasks.pop(key, None)) is not None:
            task.cancel()

    def _finished(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an act of linkage failed within the box", order=key, exc_info=error)

    async def _do(self, order: Begin, progress: Progress) -> None:
        """Does it, and for as long as it must hold does it again when it is undone or about to end by itself."""
        act, undone, quickly = order.act, 0, 0
        while await self._until_done(order, progress) and act.is_held and order.until_ns is None:
            since_ns = progress.mono_ns
            if not await self._until_undone(act, since_ns):
                if not act.renew_ns:
                    return  # nobody will ever know
                continue
            undone += 1
            progress.status, progress.tries = UNDONE, 0
            if undone <= TOLD_TRIES or undone % TOLD_TRIES == 0:
                self._tell(progress, UNDONE, f"it was undone ({undone}); doing it again")
            quickly = quickly + 1 if mono_ns() - since_ns < _QUICK_NS else 0
            if quickly:  # somebody undoes it at once, or it reads back wrongly: a relay must not wear out in a night
                await asyncio.sleep(BACKOFF_S[min(quickly, len(BACKOFF_S)) - 1])

    async def _until_done(self, order: Begin, progress: Progress) -> bool:
        """Tries until the effect was read back, or as far as it can be known; False when the order's time is over."""
        act, tries = order.act, 0
        while True:
            began_ns = mono_ns()
            outcome = await self._try(order)
            tries += 1
            is_news = outcome.status != progress.status
            progress.status, progress.why, progress.mono_ns = outcome.status, outcome.reason, began_ns
            progress.tries += 1
            if is_news or (not act.renew_ns and tries <= TOLD_TRIES) or tries % TOLD_TRIES == 0:
                self._tell(progress, outcome.status, outcome.reason)
            if outcome.status == CommandStatus.EXECUTED:
                return True
            is_blind = outcome.status == CommandStatus.SENT_NOT_CONFIRMED and act.shows is None
            if is_blind and tries >= BLIND_TRIES:
                return True
            pause_s = BACKOFF_S[min(tries, len(BACKOFF_S)) - 1]
            if order.until_ns is not None and mono_ns() + round(pause_s * _S) > order.until_ns:
                self._tell(progress, GIVEN_UP, f"after {progress.tries} tries: {progress.why}")
                return False
            await asyncio.sleep(pause_s)

    async def _try(self, order: Begin) -> Outcome:
        act, now_ns = order.act, mono_ns()
        try:
            async with asyncio.timeout(WRITE_S + act.read_back_s + ANSWER_S):
                deadline_ns = now_ns + round(WRITE_S * _S)
                outcome = await self._executor_of(act.device).execute(act.device, act.command, act.args, deadline_ns)
        except TimeoutError:
            outcome = Outcome(CommandStatus.SENT_NOT_CONFIRMED, "the driver did not answer in time")
        except Exception:
            # A fault of one driver must not keep the other doors shut; it is tried again.
            log.exception("a driver failed at an act of linkage", device=act.device, point=act.command)
            outcome = Outcome(CommandStatus.SENT_NOT_CONFIRMED, "an error within the box; its log has the details")
        if outcome.status == CommandStatus.SENT_NOT_CONFIRMED and self._is_shown_since(act, now_ns):
            return Outcome(CommandStatus.EXECUTED)
        return outcome

    def _is_shown_since(self, act: Act, since_ns: int) -> bool:
        """Whether the device was read to show the effect, after this time."""
        shown = self._shown.get((act.device, act.shows[0])) if act.shows else None
        return shown is not None and act.shows is not None and shown.mono_ns >= since_ns and self._shows(act, shown)

    @staticmethod
    def _shows(act: Act, reading: Reading) -> bool:
        return act.shows is not None and reading.value == act.shows[1] and reading.quality is Quality.GOOD

    async def _until_undone(self, act: Act, since_ns: int) -> bool:
        """Returns True when the device shows that the effect is gone, False when it is time to renew it.

        What can neither be seen nor renewed returns False at once.
        """
        if act.shows is None:
            await asyncio.sleep(act.renew_ns / _S)
            return False
        key = act.device, act.shows[0]
        changed = self._changed.setdefault(key, asyncio.Event())
        try:
            async with asyncio.timeout(act.renew_ns / _S if act.renew_ns else None):
                while not self._is_undone_since(act, key, since_ns):
                    changed.clear()
                    await changed.wait()
                return True
        except TimeoutError:
            return False

    def _is_undone_since(self, act: Act, key: tuple[str, str], since_ns: int) -> bool:
        shown = self._shown.get(key)
        if shown is None or shown.mono_ns <= since_ns or shown.quality is not Quality.GOOD:
            return False
        return not self._shows(act, shown)

    def _tell(self, progress: Progress, status: str, why: str) -> None:
        begin, act = progress.begin, progress.begin.act
        self._note(
            Note(act.device, begin.zone, begin.key[0], act.do, status, begin.mode, begin.by, _said(why), mono_ns())
        )


def _said(why: str) -> str:
    """A reason as an event carries it: bounded, whatever a device said."""
    return why[:300].replace("\x00", "")
