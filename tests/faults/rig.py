"""The whole system as real processes, on parts that can be broken: power, disks, network, clock, database.

The box and its simulated estate are at the far end of a cable that can be bad; two clouds are side by side on one
database, behind one address. Who would be started again by systemd is started again here.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from contract.clock import mono_ns
from contract.errors import AnjuError
from contract.profile import load_profiles, shipped_profiles
from contract.site import Site, load_site, resolve
from simulators.demo.processes import Child, free_port, launched, run_once, run_to_end, tail
from tests.faults.life import Control, barrier_ns
from tests.faults.machine import Machine
from tests.support.balancer import Balancer
from tests.support.cable import Cable, NoCable, laid
from tests.support.powercut import PowerCut
from tests.support.reference import Kill
from tests.support.servers import PlainServer
from tests.support.wallclock import WallClock

HERE = Path(__file__).parent
READY_S = 90.0
CLOUDS = ("cloud-1", "cloud-2")
DATABASE_MB = 400
BOX_MB = 64
QUESTIONS = "devices.jsonl"


class Rig:
    """Database, clouds, box and simulated estate. `kills` are those of the box, as the reference needs them.

    `mutant` names a broken promise (mutants.py) that the processes are started with.
    """

    def __init__(self, folder: Path, cable: Cable, server: PlainServer, mutant: str = "") -> None:
        self.folder, self.cable, self.server, self._mutant = folder, cable, server, mutant
        self.machine = Machine(folder)
        self.kills: list[Kill] = []
        self.said: list[str] = []
        self.restarts = 0
        """How often a cloud ended by itself and was started again."""
        self.truth = folder / QUESTIONS
        self.state = folder / "disk" / "box"
        self.power: PowerCut
        self.clock: WallClock
        self.cloud_clock: WallClock
        self.balancer: Balancer
        self.control: Control
        self.began = time.monotonic()
        self._log_at_start = 0
        self._children: dict[str, Child] = {}
        self._down: set[str] = set()
        port = free_port(0)
        self.cloud_url = f"http://{cable.here}:{port}"
        self.cloud_port = port
        self.ports = {name: free_port(0) for name in CLOUDS}
        text = (HERE / "estate.yaml").read_text(encoding="utf-8")
        self.site_file = folder / "estate.yaml"
        self.site_file.write_text(re.sub(r'url: "[^"]*"', f'url: "{self.cloud_url}"', text), encoding="utf-8")
        (folder / "scenario.yaml").write_bytes((HERE / "scenario.yaml").read_bytes())
        profiles = load_profiles(shipped_profiles())
        self.site: Site = load_site(self.site_file, profiles)
        self.devices = resolve(self.site, profiles)

    def say(self, what: str) -> None:
        """Notes what happens, with its time."""
        self.said.append(f"{time.monotonic() - self.began:7.2f} s  {what}")

    # Starting and ending parts

    def command(self, name: str) -> tuple[str, ...]:
        """What runs a part."""
        if name in CLOUDS:
            return (*self._program("anju-cloud"), "serve")
        if name == "box":
            site = ("--site", str(self.site_file), "--state", str(self.state))
            return (*self.cable.prefix, *self._program("anju"), "run", *site)
        simulator = (*self.cable.prefix, str(Path(sys.executable).with_name("anju-sim")), "run")
        log = ("--log", str(self.truth), "--control", str(self.folder / "control"))
        return (*simulator, str(self.folder / "scenario.yaml"), *log)

    def _program(self, script: str) -> tuple[str, ...]:
        if self._mutant:
            return (sys.executable, "-m", "tests.faults.mutants", self._mutant, script)
        return (str(Path(sys.executable).with_name(script)),)

    def environment(self, name: str) -> Mapping[str, str]:
        """What a part is told by its environment."""
        if name in CLOUDS:
            clock = {**self.cloud_clock.environment, "LD_PRELOAD": str(self.cloud_clock.library)}
            return {**self.cloud_environment(self.ports[name]), **clock}
        if name == "box":
            watched = self.power.environment
            preloaded = f"{watched['LD_PRELOAD']}:{self.clock.library}"
            health = {"ANJU_HEALTH_LISTEN": f"127.0.0.1:{free_port(0)}"}
            return {**watched, **self.clock.environment, **health, "LD_PRELOAD": preloaded}
        return {}

    def cloud_environment(self, port: int) -> dict[str, str]:
        """What a cloud is told."""
        listen = f"127.0.0.1:{port}"
        return {"DATABASE_URL": self.server.url, "ANJU_LISTEN": listen, "ANJU_PUBLIC_URL": self.cloud_url}

    async def start(self, name: str) -> None:
        """Starts a part; returns at once but for the database."""
        if name == "postgres":
            await asyncio.to_thread(self.server.start)
        else:
            if name == "box":
                self._log_at_start = self.truth.stat().st_size
            log = self.folder / f"{name}.log"
            self._children[name] = await Child.launch(
                name, launched(*self.command(name)), log=log, environment=self.environment(name)
            )
            self._down.discard(name)
        self.say(f"{name} started")

    async def kill(self, name: str) -> None:
        """SIGKILL to every process of a part; returns when none is left."""
        at_ns = mono_ns()
        if name == "postgres":
            await asyncio.to_thread(self.server.kill)
        else:
            self._down.add(name)
            self.signal(name, signal.SIGKILL)
            await self._children.pop(name).process.wait()
        if name == "box":
            await self._note_kill(at_ns)
        self.say(f"{name} killed")

    async def cut_power(self, seed: int) -> None:
        """The box loses its power: of what was not synced anything may be lost."""
        at_ns = mono_ns()
        self._down.add("box")
        self.signal("box", signal.SIGKILL)
        await self._children.pop("box").process.wait()
        cut = await asyncio.to_thread(self.power.cut, seed)
        await self._note_kill(at_ns)
        self.say(f"power cut: {cut.unsynced} writes were not synced, {cut.lost} are lost")

    async def _note_kill(self, at_ns: int) -> None:
        disk_ns = self.machine.wrote_ns(at_ns - 2_000_000_000, at_ns)
        self.kills.append(Kill(at_ns, await barrier_ns(self.control), disk_ns))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to every process of a part, which must run."""
        self.check()
        os.killpg(self._children[name].process.pid, number)

    def runs(self, name: str) -> bool:
        """Whether a part is started."""
        return name in self._children

    async def is_polling(self) -> bool:
        """Whether the box has had an answer since it was started last."""
        with self.truth.open("rb") as log:
            log.seek(self._log_at_start)
            return b'"kind":"answer"' in log.read()

    def check(self) -> None:
        """Raises AnjuError when a part ended by itself; a cloud may, and is started again by `supervise`."""
        for child in self._children.values():
            if child.process.returncode is not None and child.name not in CLOUDS:
                code = child.process.returncode
                raise AnjuError(f"{child.name} ended by itself (exit code {code}):\n{tail(child.log, 40)}")

    async def supervise(self) -> None:
        """Starts a cloud that ended by itself again after a second, as systemd does; for ever."""
        while True:
            await asyncio.sleep(1.0)
            for name in CLOUDS:
                child = self._children.get(name)
                if child is not None and child.process.returncode is not None and name not in self._down:
                    self.say(f"{name} ended by itself ({child.process.returncode})")
                    self.restarts += 1
                    await self.start(name)

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]], within_s: float = READY_S) -> None:
        """Waits until something holds, while all that runs keeps running."""
        deadline = time.monotonic() + within_s
        while not await condition():
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {c.name}\n{tail(c.log)}" for c in self._children.values())
                said = "\n".join(self.said[-30:])
                raise AnjuError(f"after {within_s:.0f} s: not {what}\n{said}\n{logs}")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stops all in order; the box first, so that it can deliver its last."""
        for name in ("box", "estate", *CLOUDS):
            child = self._children.pop(name, None)
            if child is not None:
                await child.stop()

    async def run_cloud(self, *words: str) -> str:
        """Runs an administrator's command of the cloud and returns what it printed."""
        return await run_once("anju-cloud", *words, environment=self.cloud_environment(1))

    async def ready(self) -> bool:
        """Whether a cloud and its database serve."""
        return await answers(f"{self.cloud_url}/readyz")


async def answers(url: str) -> bool:
    """Whether there is an answer that says all is well."""
    try:
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
            return answer.ok
    except (aiohttp.ClientError, TimeoutError):
        return False


@asynccontextmanager
async def running(folder: Path, seed: int, mutant: str = "") -> AsyncIterator[Rig]:
    """A system that reports, from an empty database on; all of it stopped at the end. Needs root."""
    async with AsyncExitStack() as stack:
        for name, size_mb in (("database", DATABASE_MB), ("disk", BOX_MB)):
            mounted(folder / name, size_mb)
            stack.callback(unmounted, folder / name)
        wal = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
        server = PlainServer(folder / "database" / "postgres", settings=wal)
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        try:
            cable = await stack.enter_async_context(laid(seed))
        except OSError as e:
            print(f"no network namespace here ({e}): the weather is done to streams, not to packets")
            cable = NoCable(lambda weather: setattr(rig.balancer, "weather", weather))
        rig = Rig(folder, cable, server, mutant)
        rig.power = PowerCut(rig.state, log=folder / "powercut")
        rig.clock, rig.cloud_clock = WallClock(folder / "wallclock"), WallClock(folder / "cloudclock")
        rig.balancer = await stack.enter_async_context(
            Balancer.listening(cable.here, rig.cloud_port, list(rig.ports.values()), seed)
        )
        stack.enter_context(rig.machine)
        stack.push_async_callback(rig.stop)
        for name in CLOUDS:
            await rig.start(name)
        await rig.until("the cloud is ready", rig.ready)
        await rig.start("estate")

        async def listens() -> bool:
            try:
                rig.control = await Control.connect(folder / "control")
            except OSError:
                return False
            return True

        await rig.until("the simulator listens", listens)
        stack.push_async_callback(rig.control.close)
        claim = await rig.run_cloud("claim", "--estate", rig.site.estate.name)
        anju = str(Path(sys.executable).with_name("anju"))
        enrol = (anju, "enrol", "--cloud", rig.cloud_url, "--claim", claim, "--state", str(rig.state))
        await run_to_end(launched(*cable.prefix, *enrol), "anju enrol")
        await rig.start("box")
        supervising = asyncio.create_task(rig.supervise(), name="supervise")
        stack.callback(supervising.cancel)
        yield rig


def mounted(folder: Path, size_mb: int) -> None:
    """A small disk of its own in memory. Raises OSError where this machine lets nobody mount one: run as root."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0711", "none", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(f"the fault suite must be run as root, to mount disks of its own: {done.stderr.strip()}")


def unmounted(folder: Path) -> None:
    """Lets the disk go, also where something still has it open."""
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all that is free on the disk of a folder."""
    path = folder / "filler"
    disk = os.statvfs(folder)
    with path.open("wb") as file:
        left = disk.f_bavail * disk.f_frsize
        while left > 0:
            try:
                os.posix_fallocate(file.fileno(), file.tell(), left)
                file.seek(0, os.SEEK_END)
                left = os.statvfs(folder).f_bavail * disk.f_frsize
            except OSError:  # somebody else took some meanwhile
                left //= 2
    return path
