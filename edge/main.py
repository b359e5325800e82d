"""The box's composition root: the only file that knows every stage. It reads in the order of a reading's way."""

import asyncio
import fcntl
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final, Never

import msgspec
import structlog
from yarl import URL

from contract.clock import boot_id, mono_ns
from contract.errors import AnjuError
from contract.kinds import Lane
from contract.messages import Sample
from contract.profile import Profile, load_profiles, shipped_profiles
from contract.records import ConfigReport
from contract.service import keep_watchdog, notify, until_stopped
from contract.site import Site, inventory_of, load_site, resolve, site_digest
from edge.commands import CommandRunner
from edge.drivers import DRIVERS, Driver
from edge.health import BoxStatus, BusStatus, Tally, parse_listen, serve_health
from edge.health.status import written_bytes
from edge.normalise import Normaliser
from edge.outbox import Outbox
from edge.seams import Signer
from edge.secrets import read_secret
from edge.uplink import CloudClock, Uplink

log = structlog.get_logger(__name__)

VERSION: Final = version_of("anju")
TICK_S: Final = 1.0
LAST_DELIVERY_S: Final = 2.0
"""At a clean stop, so long what is pending may still be delivered."""


def load_config(site_path: Path) -> tuple[Site, dict[str, Profile]]:
    """The site file with the profiles it may name: those shipped, and those in `profiles/` beside it.

    An own profile replaces a shipped one of its id. Raises ConfigError with every mistake.
    """
    profiles = load_profiles(shipped_profiles()) | load_profiles(site_path.parent / "profiles")
    return load_site(site_path, profiles), profiles


async def run(
    site_path: Path,
    state_dir: Path,
    health_listen: str,
    *,
    identify: Callable[[Path], Signer],
    stopped: Callable[[], Awaitable[None]],
) -> None:
    """Runs the box until `stopped` returns, then stops cleanly. `identify` gives the identity in a state folder.

    Raises ConfigError or AnjuError before anything is started, when something is wrong with what it was given.
    """
    parse_listen(health_listen)
    site, profiles = load_config(site_path)
    devices, inventory, boot = resolve(site, profiles), inventory_of(site, profiles), boot_id()
    digest = site_digest(site_path)
    identity = identify(state_dir)
    ca, proxy = _load_ca(site, site_path), _proxy(site)
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
            tally.count(len(samples), readings)
            await outbox.put(readings)

        async def tick() -> Never:
            while True:
                readings = normaliser.tick(mono_ns())
                tally.count(0, readings)
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
                buses=[_bus_status(name, driver) for name, driver in drivers.items()],
                samples=tally.samples,
                readings=tally.readings,
                online=tally.devices("online"),
                offline=tally.devices("offline"),
                unknown=tally.devices(None),
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
        try:
            await part
        except asyncio.CancelledError:
            if stopping:
                raise
            raise RuntimeError(f"task {name!r} was cancelled, and nobody asked for it") from None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watched(name, part), name=name) for name, part in work.items()]
        try:
            yield
        finally:
            stopping = True
            for task in tasks:
                task.cancel()


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


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Holds the state folder for this process alone. Raises AnjuError when another one holds it."""
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise AnjuError(
                f"another `anju run` uses {state_dir}.\n"
                "    Stop it first (systemctl stop anju-edge), or name another folder with --state."
            ) from e
        yield


def _load_ca(site: Site, site_path: Path) -> ssl.SSLContext | None:
    """Trust in the authority that the site file names, by a path relative to it; None for the system's."""
    if site.cloud.ca is None:
        return None
    path = site_path.parent / site.cloud.ca
    try:
        return ssl.create_default_context(cafile=str(path))
    except OSError as e:  # ssl.SSLError is one
        raise AnjuError(f"{path} (cloud.ca in {site_path}) cannot be used: {e}. It must be a PEM certificate.") from e


def _proxy(site: Site) -> URL | None:
    """The proxy that the site file names, with its login; the password is looked up now, so that it is there."""
    proxy = site.cloud.proxy
    if proxy is None:
        return None
    url = URL(proxy.url).with_user(proxy.user or None)
    return url.with_password(read_secret(proxy.password)) if proxy.password else url


def _bus_status(name: str, driver: Driver) -> BusStatus:
    """What a driver counts; drivers that do not count show zeros."""
    counts = {field: getattr(driver, field) for field in BusStatus.__struct_fields__ if hasattr(driver, field)}
    return msgspec.convert({"bus": name} | counts, BusStatus)


def run_until_stopped(site_path: Path, state_dir: Path, health_listen: str, identify: Callable[[Path], Signer]) -> None:
    """Runs the box on uvloop until SIGTERM or SIGINT. Raises as `run`, errors of tasks in an ExceptionGroup."""
    import uvloop

    uvloop.run(run(site_path, state_dir, health_listen, identify=identify, stopped=until_stopped))
