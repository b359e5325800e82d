"""The box's composition root: the only file that knows every stage. It reads in the order of a reading's way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final, Never

import structlog

from contract.clock import boot_id, mono_ns
from contract.kinds import Lane
from contract.messages import Sample
from contract.records import ConfigReport
from contract.service import keep_watchdog, notify, until_stopped
from contract.site import inventory_of, resolve, site_digest
from edge.commands import CommandRunner
from edge.counts import BusCounts
from edge.drivers import DRIVERS, Counted, Driver
from edge.health import BoxStatus, Tally, parse_listen, serve_health
from edge.health.status import written_bytes
from edge.normalise import Normaliser
from edge.outbox import Outbox
from edge.seams import Signer
from edge.settings import load_config, only_one, proxy_of, trust_of, warning_in_clear
from edge.uplink import CloudClock, Uplink

log = structlog.get_logger(__name__)

VERSION: Final = version_of("anju")
TICK_S: Final = 1.0
LAST_DELIVERY_S: Final = 2.0
"""At a clean stop, so long what is pending may still be delivered."""


async def run(
    site_path: Path,
    state_dir: Path,
    health_listen: str,
    *,
    identify: Callable[[Path, str], Signer],
    stopped: Callable[[], Awaitable[None]],
) -> None:
    """Runs the box until `stopped` returns, then stops cleanly. `identify` gives the identity in a state folder, for
    the cloud at an address.

    Raises ConfigError or AnjuError before anything is started, when something is wrong with what it was given.
    """
    parse_listen(health_listen)
    site, profiles = load_config(site_path)
    devices, inventory, boot = resolve(site, profiles), inventory_of(site, profiles), boot_id()
    digest = site_digest(site_path)
    identity = identify(state_dir, site.cloud.url)
    ca, proxy = trust_of(site.cloud, site_path), proxy_of(site.cloud)
    if in_clear := warning_in_clear(site.cloud.url):
        log.warning(in_clear, url=site.cloud.url)
    started_ns = mono_ns()

    async with AsyncExitStack() as stack:
        stack.enter_context(only_one(state_dir))
        outbox = await stack.enter_async_context(
            Outbox.open(state_dir, boot=boot, storage=site.storage, inventory=inventory)
        )
        normaliser = Normaliser(devices, outbox.restored_states())
        tally = Tally((item.device.id for item in devices), outbox.restored_states())

        async def consume(samples: Sequence[Sample]) -> None:
            readings = normaliser.take(samples)
            tally.count(samples, readings)
            await outbox.put(readings)

        async def tick() -> Never:
            while True:
                readings = normaliser.tick(mono_ns())
                tally.count((), readings)
                await outbox.put(readings)
                await asyncio.sleep(TICK_S)

        drivers: dict[str, Driver] = {
            bus.id: DRIVERS[bus.protocol](bus, [item for item in devices if item.bus.id == bus.id], consume)
            for bus in site.buses
        }
        clock = CloudClock(boot, (await outbox.boots())[-1].clock)
        commands = await stack.enter_async_context(
            CommandRunner.open(
                state_dir / "commands.db",
                devices={item.device.id: item for item in devices},
                executors={item.device.id: drivers[item.bus.id] for item in devices},
                utc_ns=clock.utc_ns,
                record=outbox.record,
            )
        )
        uplink = Uplink(site.cloud.url, identity, outbox, clock, commands.take, version=VERSION, ca=ca, proxy=proxy)

        def snapshot() -> BoxStatus:
            return BoxStatus(
                version=VERSION,
                gateway=identity.gateway,
                estate=site.estate.name,
                cloud=site.cloud.url,
                now_ns=mono_ns(),
                started_ns=started_ns,
                utc_ns=clock.utc_ns(),
                uplink=uplink.status,
                streams={lane: outbox.status(lane) for lane in Lane},
                buses=[_counts(name, driver) for name, driver in drivers.items()],
                samples=tally.samples,
                ignored=normaliser.ignored,
                readings=tally.readings,
                online=tally.devices("online"),
                offline=tally.devices("offline"),
                unknown=tally.devices(None),
                errors=tally.errors,
                written_bytes=written_bytes(),
            )

        await stack.enter_async_context(serve_health(health_listen, snapshot))
        report = outbox.record(ConfigReport(VERSION, digest, started_ns))
        async with running({"uplink": uplink.run(), "watchdog": keep_watchdog(), "config report": report}):
            async with running({f"bus {name}": driver.run() for name, driver in drivers.items()} | {"tick": tick()}):
                log.info("box runs", estate=site.estate.name, gateway=identity.gateway, devices=len(devices))
                notify("READY=1")
                await stopped()
                log.info("box stops")
                notify("STOPPING=1")
            await outbox.flush()
            await _deliver_last(outbox, uplink)
    log.info("box stopped; what was not delivered is kept")


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


def _counts(name: str, driver: Driver) -> BusCounts:
    """What a driver counts; one that does not count shows zeros."""
    return driver.counts() if isinstance(driver, Counted) else BusCounts(bus=name)


def run_until_stopped(
    site_path: Path, state_dir: Path, health_listen: str, identify: Callable[[Path, str], Signer]
) -> None:
    """Runs the box on uvloop until SIGTERM or SIGINT. Raises as `run`, errors of tasks in an ExceptionGroup."""
    import uvloop

    uvloop.run(run(site_path, state_dir, health_listen, identify=identify, stopped=until_stopped))
