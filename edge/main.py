"""The box's composition root: the only file that knows every stage. It reads in the order of a reading's way."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Never

import msgspec
import structlog

from contract.clock import boot_id, mono_ns
from contract.errors import AnjuError
from contract.kinds import Lane
from contract.messages import Sample
from contract.records import ConfigReport
from contract.service import Hangups, keep_watchdog, notify, until_stopped
from contract.session import GatewayReport
from contract.site import AnyBus, ResolvedDevice, inventory_of
from contract.version import VERSION
from edge.backoff import Pauses
from edge.buses import Buses
from edge.commands import CommandRunner
from edge.drivers import DRIVERS, Driver
from edge.guard import Guard
from edge.health import BoxStatus, Tally, Wear, parse_listen, serve_health
from edge.health.links import links_of, why_lost
from edge.health.status import written_bytes
from edge.http.client import Traffic
from edge.kept import estate_key_or_other, keep_counters, load_counters
from edge.linkage import Linkage
from edge.normalise import Normaliser, tokeniser
from edge.outbox import Outbox
from edge.reload import NO_WORD, ROLLED_BACK, TRIAL_S, Config, Online, Reloader, Trial, kept_good, start_config
from edge.report import report_of
from edge.seams import CounterState, Signer, UplinkStatus
from edge.settings import only_one, proxy_of, trust_of, warning_in_clear
from edge.uplink import CloudClock, Meter, Uplink, keep_system_time, terms_of

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
COUNTERS_S: Final = 900.0
REPORT_S: Final = 5.0
ANEW_S, MOST_ANEW_S = 5.0, 60.0
"""Between two times that every state is said again, at least: at first, and where there is no end to it."""
LAST_DELIVERY_S: Final = 2.0
"""At a clean stop, so long what is pending may still be delivered."""


async def run(
    site_path: Path,
    state_dir: Path,
    health_listen: str,
    *,
    identify: Callable[[Path, str], Signer],
    stopped: Callable[[], Awaitable[None]],
    reloads: Callable[[], AsyncIterator[None]] = Hangups,
    trial_s: float = TRIAL_S,
) -> None:
    """Runs the box until `stopped` returns, then stops cleanly. `identify` gives the identity in a state folder, for
    the cloud at an address; `reloads` says when to look at the site file again.

    Raises ConfigError or AnjuError before anything is started, when something is wrong with what it was given.
    """
    parse_listen(health_listen)
    asked = reloads()  # from here on, also while the box begins: SIGHUP would end a process that does not listen
    config: Config | None = start_config(site_path, state_dir)
    trial: Trial | None = None
    while config is not None:
        try:
            box = Box(config, state_dir, health_listen, identify)
        except AnjuError as e:
            problem = f"the site file cannot be used: {e}"
            before = trial.before if trial is not None else kept_good(site_path, state_dir, problem)
            if before is None or before.whole == config.whole:
                raise
            log.error("the changed configuration cannot be used; the one before it runs", problem=str(e))  # noqa: TRY400
            config, trial = msgspec.structs.replace(before, problem=problem), None
            continue
        try:
            following = await box.run(stopped, asked, trial, trial_s)
        except Exception:
            if trial is None or not trial.is_under_way(trial_s):
                raise
            log.exception("the box fails with the changed configuration, which is rolled back", digest=config.digest)
            problem = f"{ROLLED_BACK}{NO_WORD}. Mend it and reload"
            following = msgspec.structs.replace(trial.before, problem=problem), None
        config, trial = following


class Box:
    """One life of the box, from a configuration to a stop or to one that needs it to begin anew."""

    def __init__(
        self, config: Config, state_dir: Path, health_listen: str, identify: Callable[[Path, str], Signer]
    ) -> None:
        """Looks at everything that can be wrong before anything is started. Raises AnjuError."""
        site = config.site
        self._config, self._state_dir, self._health_listen = config, state_dir, health_listen
        self._boot, self._started_ns = boot_id(), mono_ns()
        self._wear = Wear(self._started_ns)
        self._identify, self._identity = identify, identify(state_dir, site.cloud.url)
        self._ca, self._proxy = trust_of(site.cloud, config.path), proxy_of(site.cloud)
        self._guard = Guard(site.guard_page, state_dir)
        if in_clear := warning_in_clear(site.cloud.url):
            log.warning(in_clear, url=site.cloud.url)

    async def run(
        self,
        stopped: Callable[[], Awaitable[None]],
        asked: AsyncIterator[None],
        trial: Trial | None,
        trial_s: float,
    ) -> tuple[Config | None, Trial | None]:
        """Runs until it is stopped (None), or until a configuration needs the box to begin anew with it, on trial."""
        site, devices = self._config.site, self._config.devices
        async with AsyncExitStack() as stack:
            stack.enter_context(only_one(self._state_dir))
            self._outbox = await stack.enter_async_context(
                Outbox.open(
                    self._state_dir,
                    boot=self._boot,
                    storage=site.storage,
                    inventory=inventory_of(site, self._config.profiles),
                )
            )  # fmt: skip
            outbox, restored = self._outbox, self._outbox.restored_states()
            self._tally = Tally((item.device.id for item in devices), restored, because=self._why_of)
            self._buses = await stack.enter_async_context(Buses(self._make_driver))
            self._clock = CloudClock(self._boot, (await outbox.boots())[-1].clock)
            self._by_id = {item.device.id: item for item in devices}
            commands = await stack.enter_async_context(
                CommandRunner.open(
                    self._state_dir / "commands.db",
                    devices=self._by_id,
                    executors=self._buses.executors,
                    utc_ns=self._clock.utc_ns,
                    record=outbox.record,
                )
            )
            self._uplink = Uplink(
                site.cloud.url, self._identity, outbox, self._clock, commands.take, version=VERSION, ca=self._ca,
                proxy=self._proxy, terms=terms_of(site.cloud), meter=self._make_meter, report=self._report,
            )  # fmt: skip
            self._linkage = await stack.enter_async_context(
                Linkage.open(
                    site,
                    devices,
                    self._state_dir,
                    boot=self._boot,
                    executor_of=self._buses.executor_of,
                    put=outbox.put,
                    uplink=self._reached,
                    utc_ns=self._clock.utc_ns,
                )
            )
            self._normaliser = Normaliser(
                devices,
                self._linkage.unsaid(restored),
                load_counters(self._state_dir),
                tokenise=tokeniser(estate_key_or_other(self._state_dir)),
            )
            self._reloader = Reloader(
                self._state_dir, self._config, self._apply, self._online, trial_s, self._check_anew
            )
            await stack.enter_async_context(serve_health(self._health_listen, self._snapshot))
            await stack.enter_async_context(self._guard.serve(self._linkage))
            async with running({"uplink": self._uplink.run(), "watchdog": keep_watchdog()} | self._records()):
                own = {"tick": self._tick(), "counters": self._keep_counters(), "tell anew": self._tell_anew()}
                async with running(own):
                    self._buses.start(site.buses, devices)
                    log.info("box runs", estate=site.estate.name, gateway=self._identity.gateway, devices=len(devices))
                    notify("READY=1")
                    following = await first_of(stopped(), self._reloader.run(asked, trial))
                    log.info("box stops" if following is None else "box begins anew")
                    notify("STOPPING=1" if following is None else "RELOADING=1")
                    trial = None if following is None else self._reloader.trial_of(self._reloader.config)
                    await self._buses.stop_all()  # whichever run: a stop may come in the middle of a change
                await outbox.flush()
                await _deliver_last(outbox, self._uplink)
        if following is None:
            log.info("box stopped; what was not delivered is kept")
        elif following.problem:  # it goes back to what ran before: that needs no trial
            trial = None
        return following, trial

    def _make_driver(self, bus: AnyBus, devices: Sequence[ResolvedDevice]) -> Driver:
        return DRIVERS[bus.protocol](bus, devices, self._consume, self._state_dir)

    def _make_meter(self, traffic: Traffic) -> Meter:
        site = self._config.site
        terms = terms_of(site.cloud)
        self._meter = Meter(self._state_dir, site.estate.timezone, terms, traffic, self._clock.utc_ns)
        return self._meter

    def _reached(self) -> UplinkStatus:
        """How the uplink is, for who sounds on the spot: a disk that hangs keeps alarms back as a cut line does."""
        status, stalled_ns = self._uplink.status, self._outbox.status(Lane.URGENT).stalled_since_ns
        if not stalled_ns or not status.connected:
            return status
        return msgspec.structs.replace(
            status, connected=False, since_ns=stalled_ns, problem="the disk of this box does not answer"
        )

    # The way of a reading

    async def _consume(self, samples: Sequence[Sample]) -> None:
        taken = self._normaliser.take(samples)
        self._tally.count(samples, taken)
        await self._linkage.pass_on(taken)

    async def _tell_anew(self) -> Never:
        """Says every state again whenever the cloud may know another past than this box.

        With pauses: of two boxes with one identity each answers the other's new epoch with one of its own, and on a
        full disk what is said costs what was there before.
        """
        pauses = Pauses(ANEW_S, MOST_ANEW_S)
        while True:
            since_ns = mono_ns()
            await self._outbox.wait_to_tell_anew()
            calm_s = (mono_ns() - since_ns) / 1e9
            readings = self._normaliser.tell_anew(mono_ns())
            self._tally.count((), readings)
            await self._linkage.pass_by(readings)
            await asyncio.sleep(pauses.next_s(calm_s))

    async def _tick(self) -> Never:
        while True:
            self._wear.look(mono_ns())
            readings = self._normaliser.tick(mono_ns())
            self._tally.count((), readings)
            await self._linkage.pass_on(readings)
            await asyncio.sleep(TICK_S)

    async def _keep_counters(self) -> Never:
        """Keeps what counters have come to, now and then and at a clean stop: they change with each read."""
        kept: dict[tuple[str, str], CounterState] = {}
        try:
            while True:
                await asyncio.sleep(COUNTERS_S)
                counters = self._normaliser.counters()
                if counters != kept:  # in a thread: a card that syncs for a second must not hold up a door
                    await asyncio.to_thread(self._write_counters, counters)
                    kept = counters
        finally:
            if (counters := self._normaliser.counters()) != kept:
                self._write_counters(counters)

    def _write_counters(self, counters: Mapping[tuple[str, str], CounterState]) -> None:
        try:
            keep_counters(self._state_dir, counters)
        except OSError as e:
            log.warning("what counters have come to cannot be kept", problem=str(e))

    def _records(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What the box itself has to say: which configuration runs, and the time."""
        report = ConfigReport(VERSION, self._config.digest, self._started_ns)
        return {
            "config report": self._outbox.record(report),
            "data budget": self._meter.keep(),
            "system clock": keep_system_time(self._clock, self._outbox.record, asyncio.sleep),
        }

    # Changes of the configuration

    async def _apply(self, config: Config) -> frozenset[str]:
        """Goes on with another configuration: only what differs stops and starts. Gives the devices concerned."""
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        changed = self._buses.changed(config.buses, config.devices)
        await self._buses.stop(changed)
        self._normaliser.adopt(config.devices)
        self._linkage.adopt(config.devices)
        self._tally.adopt(item.device.id for item in config.devices)
        self._by_id.clear()
        self._by_id.update({item.device.id: item for item in config.devices})
        await self._outbox.adopt(inventory_of(config.site, config.profiles))
        started = self._buses.start(config.buses, config.devices)
        with suppress(TimeoutError):  # a disk that takes nothing must not hold up the trial; it is told once it can be
            async with asyncio.timeout(REPORT_S):
                await self._outbox.record(ConfigReport(VERSION, config.digest, mono_ns()))
        log.info("buses changed", stopped=changed, started=started)
        notify("READY=1")
        return frozenset(item.device.id for item in config.devices if item.bus.id in started)

    def _check_anew(self, config: Config) -> None:
        """Raises AnjuError where the box could not begin with this configuration: a secret, an authority is missing."""
        Box(config, self._state_dir, self._health_listen, self._identify)

    def _online(self, since_ns: int) -> Online:
        return Online(self._normaliser.online(since_ns), self._uplink.status.connected)

    def _report(self) -> GatewayReport:
        config = self._reloader.config
        return report_of(self._snapshot(), self._uplink, self._clock, config.buses, config.devices, self._state_dir)

    def _why_of(self, device: str) -> str:
        """Why a device cannot be heard, where its whole bus cannot; empty where it can."""
        item = self._by_id.get(device)
        of = next((count for count in self._buses.counts() if item is not None and count.bus == item.bus.id), None)
        return "" if of is None or of.connected else why_lost(of)

    def _snapshot(self) -> BoxStatus:
        outbox, tally = self._outbox, self._tally
        buses, devices = self._buses.counts(), self._reloader.config.devices
        links = links_of(tally, buses, {item.device.id: item.bus.id for item in devices})
        return BoxStatus(
            version=VERSION,
            gateway=self._identity.gateway,
            estate=self._reloader.config.site.estate.name,
            timezone=self._reloader.config.site.estate.timezone,
            cloud=self._config.site.cloud.url,
            now_ns=mono_ns(),
            started_ns=self._started_ns,
            utc_ns=self._clock.utc_ns(),
            uplink=self._uplink.look(),
            streams={lane: outbox.status(lane) for lane in Lane},
            buses=buses,
            samples=tally.samples,
            ignored=self._normaliser.ignored,
            readings=tally.readings,
            events=tally.events,
            online=links.online,
            offline=links.offline,
            unknown=links.unknown,
            errors=links.errors,
            written_bytes=written_bytes(),
            written_day_bytes=self._wear.day_bytes(mono_ns()),
            endurance_tb=self._reloader.config.site.storage.endurance_tb,
            tasks=len(asyncio.all_tasks()),
            config=self._reloader.config.digest,
            config_problem=self._reloader.config.problem,
            config_note=self._reloader.config.note,
            restarts=self._buses.restarts,
            problems=self._buses.problems,
            zones=self._linkage.view().zones,
            names={item.device.id: item.device.name for item in devices if item.device.name != item.device.id},
        )


async def first_of(stopped: Awaitable[None], changed: Coroutine[Any, Any, Config]) -> Config | None:
    """What to begin anew with, or None when the box is stopped first."""
    tasks = (asyncio.ensure_future(stopped), asyncio.ensure_future(changed))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return None if tasks[0].done() else tasks[1].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running(work: Mapping[str, Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs tasks, each by its name, for as long as the context lasts; if one fails or is cancelled, the context fails.

    A box must not go on looking healthy without its uplink or a bus.
    """
    stopping = False

    async def watched(name: str, part: Coroutine[Any, Any, None]) -> None:
        nonlocal stopping
        try:
            await part
        except asyncio.CancelledError:
            if stopping:
                raise
            stopping = True
            raise RuntimeError(f"task {name!r} was cancelled, and nobody asked for it") from None
        except BaseException:
            stopping = True  # the group cancels the others now: their ends are no news, and must not hide this one
            raise

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watched(name, part), name=name) for name, part in work.items()]
            try:
                yield
            finally:
                stopping = True
                for task in tasks:
                    task.cancel()
    finally:
        for part in work.values():
            part.close()  # one whose task was cancelled before its first step was never awaited


async def _deliver_last(outbox: Outbox, uplink: Uplink) -> None:
    """Gives what is pending a short last chance, where the cloud is there to take it."""
    if not uplink.status.connected:
        return
    try:
        async with asyncio.timeout(LAST_DELIVERY_S):
            for lane in Lane:
                await outbox.wait_until_delivered(lane)
    except TimeoutError:
        pass


def run_until_stopped(
    site_path: Path, state_dir: Path, health_listen: str, identify: Callable[[Path, str], Signer]
) -> None:
    """Runs the box on uvloop until SIGTERM or SIGINT. Raises as `run`, errors of tasks in an ExceptionGroup."""
    import uvloop

    uvloop.run(run(site_path, state_dir, health_listen, identify=identify, stopped=until_stopped))
