"""Linkage as the rest of the box sees it: readings in, acts at the drivers, everything told on the urgent stream."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Never, Self

import structlog

from contract.clock import mono_ns
from contract.kinds import Lane
from contract.messages import Event, Reading
from contract.records import StateRecord
from contract.site import ResolvedDevice, Site
from edge.linkage import memory
from edge.linkage.orders import Begin, End, Note, Output
from edge.linkage.performer import Executor, Performer
from edge.linkage.plan import CUT_OFF_RULE, Plan, causes_of, make_plan
from edge.linkage.rules import Machine
from edge.seams import UplinkStatus
from edge.zones import ActView, Doubt, GuardView, Happening, Mode, Refusal, TriggerView, ZoneView

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
RETRY_S: Final = 5.0
"""How long to wait after the disk refused what must be remembered."""
MAX_EVENTS: Final = 10_000
"""Events in memory while the disk is slow; above it the oldest go, and that is logged."""
PRESSING_NS: Final = 10 * 1_000_000_000
"""So long after something was begun no bus waits for the disk: it has doors to open."""
PATIENCE_S: Final = 1.0
"""So long a bus waits for a disk that hangs (a worn card may for a minute) before it asks its detectors again."""
MAX_BESIDE: Final = 1000
"""So many times it goes on without the disk; then it waits, or the memory would fill."""
MAX_HAPPENINGS: Final = 100
"""What the guard page can show of the past."""
_S = 1_000_000_000
GRAVE: Final = frozenset(
    {
        ("confirmed", "confirmed"), ("confirmed", "again"), ("confirmed", "remembered"), ("alert", "not_heard"),
        ("blind", "started"), *((act, status) for act in ("release", "hold_open", "sound", "announce", "show", "switch")
                                for status in ("given_up", "refused")),
    }
)  # fmt: skip
"""What a person must see in the log, by action and status."""
Put = Callable[[Sequence[Reading | Event]], Awaitable[None]]


class Linkage:
    """The box's own rules, at work. Make one with `open`.

    `executor_of` gives the driver of a device; it is asked when something is to be done, so the drivers may be made
    later. `uplink` says how the way to the cloud is, `utc_ns` what the time is, if anyone knows. `put` takes what is to
    be told.
    """

    def __init__(
        self,
        plan: Plan,
        machine: Machine,
        path: Path,
        *,
        estate: tuple[str, str],
        executor_of: Callable[[str], Executor],
        put: Put,
        uplink: Callable[[], UplinkStatus],
        utc_ns: Callable[[], int | None],
    ) -> None:
        self._plan, self._machine, self._path = plan, machine, path
        self._zone_names = {zone.id: zone.name for zone in plan.zones}
        acts = [act for rule in plan.rules for act in (*rule.first, *rule.then, *rule.after)]
        self._names = {act.device: act.name for act in (*acts, *plan.sound)}
        self._names |= {device: item.device.name for device, (item, _) in plan.causes.items()}
        self._estate, self._put, self._uplink, self._utc_ns = estate, put, uplink, utc_ns
        self._performer = Performer(executor_of, self._note)
        for rule in plan.rules:
            self._performer.watch((*rule.first, *rule.then, *rule.after, *rule.silence))
        self._performer.watch((*plan.sound, *plan.silence))
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._wake, self._changed = asyncio.Event(), asyncio.Event()
        self._happenings: deque[Happening] = deque(maxlen=MAX_HAPPENINGS)
        self._tasks: asyncio.TaskGroup | None = None
        self._beside: set[asyncio.Task[None]] = set()
        """What the disk has still to take, with nobody waiting for it."""
        self._opened_ns = mono_ns()
        self._is_needed = bool(plan.rules or plan.cut_off_ns)
        """Whether there is a rule, or a page to show anything on."""
        self._pressing_ns = 0
        """Until when no bus waits for the disk."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        site: Site,
        devices: Sequence[ResolvedDevice],
        state_dir: Path,
        *,
        boot: bytes,
        executor_of: Callable[[str], Executor],
        put: Put,
        uplink: Callable[[], UplinkStatus],
        utc_ns: Callable[[], int | None],
    ) -> AsyncIterator[Self]:
        """Linkage at work until the context ends; what was confirmed before a restart is known again."""
        plan, path = make_plan(site, devices), state_dir / "linkage.json"
        machine = Machine(plan, mono_ns(), memory.load(path), boot)
        estate = (site.estate.name, site.estate.timezone)
        linkage = cls(
            plan, machine, path, estate=estate, executor_of=executor_of, put=put, uplink=uplink, utc_ns=utc_ns
        )
        async with asyncio.TaskGroup() as tasks:
            linkage._tasks = tasks
            work = [
                tasks.create_task(linkage._tick(), name="linkage tick"),
                tasks.create_task(linkage._tell(), name="linkage events"),
                tasks.create_task(linkage._keep(), name="linkage memory"),
            ]
            try:
                yield linkage
            finally:
                await linkage._performer.close()
                ending = (*work, *linkage._beside)  # what the latter wait for is the outbox's to write
                for task in ending:
                    task.cancel()
                await asyncio.wait(ending)
                await linkage._tell_last()

    def unsaid(self, restored: Iterable[StateRecord]) -> list[StateRecord]:
        """The restored states without those of triggers: what these say is said anew after a restart.

        A state that was only remembered confirms nothing, so the first read of each must be reported.
        """
        if not self._plan.rules and not self._plan.sound:  # nothing hangs on it
            return list(restored)
        causes = self._plan.causes
        return [
            state for state in restored if not (state.device in causes and state.point == causes[state.device][1].point)
        ]

    async def pass_on(self, items: Sequence[Reading | Event]) -> None:
        """Acts on what was read, then puts it on the outbox. Returns when it is there, on disk as the outbox promises.

        Where there is something to do, the orders are with the drivers before this returns; the disk is not waited for
        then, nor in the next seconds: the bus that asks is often the one that must write. A disk that hangs is never
        waited for long: the next question may be the one that finds the fire.
        """
        if not self._is_needed:
            await self._put(items)
            return
        machine, now_ns = self._machine, mono_ns()
        is_urgent = False
        for item in items:
            if item.device in machine.triggers:
                machine.take(item, now_ns)
            if isinstance(item, Reading):
                self._performer.take(item)
                is_urgent = is_urgent or item.lane is Lane.URGENT
            else:
                is_urgent = True
        notes = self._act(machine.drain())
        if now_ns >= self._pressing_ns or self._tasks is None:
            told = [*items, *self._log(self._events_of(notes))] if notes else items
            if is_urgent or notes:
                await self._put_patiently(told)
            else:  # which waits for no disk
                await self._put(told)
            return
        self._tasks.create_task(self._put_beside(items), name="linkage put")
        events = self._events_of(notes)
        self._queue(events)
        await asyncio.sleep(0)  # the acts' first steps, which queue their writes; then what was read is put
        self._log(events)

    async def pass_by(self, items: Sequence[Reading | Event]) -> None:
        """Puts what was heard before on the outbox, in its order among all else, and lets no rule take it for new."""
        await (self._put_patiently(items) if self._is_needed else self._put(items))

    def adopt(self, devices: Sequence[ResolvedDevice]) -> None:
        """Goes on with other devices, none of them in a zone or a rule: for what is seen and heard while cut off."""
        self._machine.adopt(causes_of(devices))

    # What the guard page asks

    @property
    def estate(self) -> str:
        """What the estate is called."""
        return self._estate[0]

    def view(self) -> GuardView:
        """How everything is now."""
        now_ns, uplink = mono_ns(), self._uplink()
        triggers = {device: self._view_of(device, now_ns) for device in self._machine.triggers}
        name, timezone = self._estate
        return GuardView(
            estate=name,
            now_ns=now_ns,
            utc_ns=self._utc_ns(),
            timezone=timezone,
            is_connected=uplink.connected,
            connected_since_ns=uplink.since_ns,
            is_cut_off=self._is_cut_off(now_ns),
            alarms=[view for view in triggers.values() if view.is_alarm],
            doubtful=[view for view in triggers.values() if view.doubt is not Doubt.NONE],
            zones=[self._zone_view(zone.id, zone.name, zone.triggers, triggers) for zone in self._plan.zones],
            happenings=list(reversed(self._happenings)),
            noise=self._machine.noise.of(self._machine.triggers.values()),
            acts=self._acts(CUT_OFF_RULE),
            may_silence=bool(self._plan.silence),
        )

    def silence(self, zone: str) -> Refusal | None:
        """Silences the sounders of a zone, or (zone "") those that sound because the box is cut off."""
        return self._by_hand("silence", zone, self._machine.silence(zone, mono_ns()))

    def reset(self, zone: str) -> Refusal | None:
        """Ends what is confirmed in a zone; not while its triggers still agree."""
        return self._by_hand("reset", zone, self._machine.reset(zone, mono_ns()))

    def release(self, zone: str) -> Refusal | None:
        """Releases what the zone's rules would release, now."""
        return self._by_hand("release", zone, self._machine.release(zone, mono_ns()))

    def start(self, zone: str, mode: Mode, minutes: int) -> Refusal | None:
        """Begins a drill or a dry run in a zone, which ends by itself."""
        return self._by_hand(mode, zone, self._machine.start(zone, mode, minutes, mono_ns()))

    def stop(self, zone: str) -> Refusal | None:
        """Ends it before its time."""
        return self._by_hand("stop", zone, self._machine.stop(zone, mono_ns()))

    def _by_hand(self, what: str, zone: str, refusal: Refusal | None) -> Refusal | None:
        said = {"refused": refusal.en} if refusal else {}
        log.info("asked on the guard page", what=what, zone=zone, **self._named(zone), **said)
        self._settle()
        return refusal

    # At work

    async def _tick(self) -> Never:
        while True:
            now_ns = mono_ns()
            self._machine.tick(now_ns, is_cut_off=self._is_cut_off(now_ns))
            self._settle()
            await asyncio.sleep(TICK_S)

    def _is_cut_off(self, now_ns: int) -> bool:
        uplink, limit_ns = self._uplink(), self._plan.cut_off_ns
        return bool(limit_ns) and not uplink.connected and now_ns - max(uplink.since_ns, self._opened_ns) >= limit_ns

    def _settle(self) -> None:
        """Does and tells what the machine says, outside the way of a reading."""
        self._queue(self._log(self._events_of(self._act(self._machine.drain()))))

    def _act(self, outputs: Sequence[Output]) -> list[Note]:
        """Begins and ends acts; what is to be told of it, which can wait."""
        notes = []
        for output in outputs:
            match output:
                case Begin():
                    self._pressing_ns = mono_ns() + PRESSING_NS
                    self._performer.begin(output)
                case End():
                    self._performer.end(output)
                case Note():
                    notes.append(output)
        if self._machine.is_changed:
            self._changed.set()
        return notes

    def _note(self, note: Note) -> None:
        self._queue(self._log(self._events_of([note])))

    def _events_of(self, notes: Sequence[Note]) -> list[Event]:
        """What the cloud is told, and the guard page with it."""
        events = []
        for note in notes:
            self._happenings.append(
                Happening(note.mono_ns, note.zone, note.device, note.action, note.status, note.mode, note.by, note.why)
            )
            said = {
                "zone": note.zone, "rule": note.rule, "action": note.action, "status": str(note.status),
                "mode": note.mode, "by": note.by, "why": note.why,
            }  # fmt: skip
            fields: dict[str, str | int | float | bool] = {name: word for name, word in said.items() if word}
            events.append(Event(note.device, "linkage", fields, note.mono_ns))
        return events

    def _log(self, events: list[Event]) -> list[Event]:
        for event in events:
            fields = event.fields
            zone = str(fields.get("zone", ""))
            say = log.warning if (fields.get("action"), fields.get("status")) in GRAVE else log.info
            name = self._names.get(event.device, "")
            say("linkage", device=event.device, **({"name": name} if name else {}), **fields, **self._named(zone))
        return events

    def _named(self, zone: str) -> dict[str, str]:
        """The zone's name for a line of the log, where it has one."""
        return {"zone_name": name} if (name := self._zone_names.get(zone)) else {}

    def _queue(self, events: Sequence[Event]) -> None:
        self._events.extend(events)
        while len(self._events) > MAX_EVENTS:
            self._events.popleft()
            if not self._dropped:
                log.error("events of linkage are lost: the disk does not take them")
            self._dropped += 1
        if events:
            self._wake.set()

    async def _tell(self) -> Never:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._tell_last()

    async def _tell_last(self) -> None:
        events = list(self._events)
        self._events.clear()
        if events:
            await self._put(events)

    async def _put_patiently(self, items: Sequence[Reading | Event]) -> None:
        """Returns when the disk has it, or after PATIENCE_S: then it is in memory, in its order, and on its way."""
        if len(self._beside) >= MAX_BESIDE:
            await self._put(items)
            return
        putting = asyncio.create_task(self._put_beside(items), name="linkage put")
        self._beside.add(putting)
        putting.add_done_callback(self._beside.discard)
        await asyncio.wait([putting], timeout=PATIENCE_S)
        if putting.done():
            putting.result()

    async def _put_beside(self, items: Sequence[Reading | Event]) -> None:
        await self._put(items)

    async def _keep(self) -> Never:
        """Keeps what a restart must not forget, for ever; a disk that refuses is tried again, and said once."""
        is_failing = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._machine.is_changed = False
            kept = self._machine.kept()
            try:
                await asyncio.to_thread(memory.save, self._path, kept)
            except OSError as e:
                if not is_failing:
                    log.warning("what linkage must remember cannot be kept", file=str(self._path), problem=str(e))
                is_failing = True
                self._changed.set()
                await asyncio.sleep(RETRY_S)
            else:
                is_failing = False

    # What it looks like

    def _view_of(self, device: str, now_ns: int) -> TriggerView:
        trigger = self._machine.triggers[device]
        return TriggerView(
            device=device,
            name=trigger.name,
            place=trigger.place,
            hazard=trigger.cause.hazard,
            zone=trigger.zone,
            is_alarm=trigger.is_alarm,
            since_ns=trigger.since_ns,
            doubt=trigger.doubt(now_ns),
            is_lost=trigger.is_lost,
            mute=self._machine.noise.mute(trigger),
        )

    def _zone_view(self, zone: str, name: str, devices: Sequence[str], triggers: dict[str, TriggerView]) -> ZoneView:
        machine = self._machine
        phase, since_ns, is_restored = machine.phase(zone)
        kept, rules = machine.mode(zone), list(machine.zone_rules(zone))
        names = [*(rule.id for rule in rules), zone]
        return ZoneView(
            id=zone,
            name=name,
            phase=phase,
            since_ns=since_ns,
            is_restored=is_restored,
            triggers=[triggers[device] for device in devices],
            acts=[view for rule in dict.fromkeys(names) for view in self._acts(rule) if view.mono_ns >= since_ns],
            mode=kept.mode if kept else None,
            mode_until_ns=kept.until_ns if kept else 0,
            has_rules=bool(rules),
            may_drill_silently=bool(rules) and machine.may_drill_silently(zone),
            may_release=any(act.is_held for rule in rules for act in rule.then),
            may_silence=any(rule.silence for rule in rules),
            hazards=machine.hazards(zone),
            blind_for=machine.sight.blind_for(zone, mono_ns()),
        )

    def _acts(self, rule: str) -> list[ActView]:
        return [
            ActView(
                rule=rule,
                device=item.begin.act.device,
                name=item.begin.act.name,
                do=item.begin.act.do,
                status=item.status,
                tries=item.tries,
                why=item.why,
                mono_ns=item.mono_ns,
                is_held=item.begin.act.is_held and item.begin.until_ns is None and self._performer.is_under_way(item),
            )
            for item in self._performer.progress(rule)
        ]
