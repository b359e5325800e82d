"""The whole system as real processes, each of which can be killed and started again."""

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from contract.clock import mono_ns
from contract.errors import AnjuError
from contract.profile import load_profiles, shipped_profiles
from contract.site import Site, load_site, resolve
from simulators.demo.processes import Child, free_port, run_once, tail
from simulators.postgres import EmbeddedPostgres
from tests.faults.life import Control, barrier_ns
from tests.faults.machine import Machine
from tests.support.reference import Kill

HERE = Path(__file__).parent
READY_S = 90.0
TARGETS = ("edge", "cloud", "postgres")


class Rig:
    """Database, cloud, box and simulated estate. `kills` are those of the box, as the reference needs them."""

    def __init__(self, folder: Path, server: EmbeddedPostgres) -> None:
        self.folder, self.server = folder, server
        self.machine = Machine(folder)
        self.kills: list[Kill] = []
        self.said: list[str] = []
        self.truth = folder / "devices.jsonl"
        self.state = folder / "box"
        self.began = time.monotonic()
        self._log_at_start = 0
        self.control: Control
        self._children: dict[str, Child] = {}
        port = free_port(0)
        listen = f"127.0.0.1:{port}"
        self.cloud_url = f"http://{listen}"
        self._environment = {
            "cloud": {"DATABASE_URL": server.url, "ANJU_LISTEN": listen, "ANJU_PUBLIC_URL": self.cloud_url},
            "edge": {"ANJU_HEALTH_LISTEN": f"127.0.0.1:{free_port(0)}"},
            "estate": {},
        }
        text = (HERE / "estate.yaml").read_text(encoding="utf-8")
        text = re.sub(r"port: \d+", lambda _: f"port: {free_port(0)}", text)
        self._site_file = folder / "estate.yaml"
        self._site_file.write_text(re.sub(r'url: "[^"]*"', f'url: "{self.cloud_url}"', text), encoding="utf-8")
        (folder / "scenario.yaml").write_bytes((HERE / "scenario.yaml").read_bytes())
        self.site: Site = load_site(self._site_file, load_profiles(shipped_profiles()))
        self.devices = resolve(self.site, load_profiles(shipped_profiles()))
        self._commands = {
            "cloud": ("anju-cloud", "serve"),
            "edge": ("anju", "run", "--site", str(self._site_file), "--state", str(self.state)),
            "estate": (
                "anju-sim", "run", str(folder / "scenario.yaml"), "--log", str(self.truth),
                "--control", str(folder / "control"),
            ),
        }  # fmt: skip

    def say(self, what: str) -> None:
        """Notes what happens, with its time."""
        self.said.append(f"{time.monotonic() - self.began:7.2f} s  {what}")

    async def start(self, name: str) -> None:
        """Starts a part; returns at once but for the database."""
        if name == "postgres":
            await asyncio.to_thread(self.server.start)
        else:
            if name == "edge":
                self._log_at_start = self.truth.stat().st_size
            self._children[name] = await Child.start(
                name, *self._commands[name], log=self.folder / f"{name}.log", environment=self._environment[name]
            )
        self.say(f"{name} started")

    async def kill(self, name: str) -> None:
        """SIGKILL to every process of a part; returns when none is left."""
        at_ns = mono_ns()
        if name == "postgres":
            await asyncio.to_thread(self.server.kill)
        else:
            child = self._children[name]
            self.check()
            os.killpg(child.process.pid, signal.SIGKILL)
            await child.process.wait()
            del self._children[name]
        if name == "edge":
            disk_ns = self.machine.wrote_ns(at_ns - 2_000_000_000, at_ns)
            self.kills.append(Kill(at_ns, await barrier_ns(self.control), disk_ns))
        self.say(f"{name} killed")

    async def is_polling(self) -> bool:
        """Whether the box has had an answer since it was started last."""
        with self.truth.open("rb") as log:
            log.seek(self._log_at_start)
            return b'"kind":"answer"' in log.read()

    def check(self) -> None:
        """Raises AnjuError when a part ended by itself."""
        for child in self._children.values():
            if child.process.returncode is not None:
                code = child.process.returncode
                raise AnjuError(f"{child.name} ended by itself (exit code {code}):\n{tail(child.log, 40)}")

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]], within_s: float = READY_S) -> None:
        """Waits until something holds, while all that runs keeps running."""
        deadline = time.monotonic() + within_s
        while not await condition():
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {c.name}\n{tail(c.log)}" for c in self._children.values())
                raise AnjuError(f"after {within_s:.0f} s: not {what}\n{logs}")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stops all in order; the box first, so that it can deliver its last."""
        for name in ("edge", "estate", "cloud"):
            child = self._children.pop(name, None)
            if child is not None:
                await child.stop()

    async def run_cloud(self, *words: str) -> str:
        """Runs an administrator's command of the cloud and returns what it printed."""
        return await run_once("anju-cloud", *words, environment=self._environment["cloud"])

    async def ready(self) -> bool:
        """Whether the cloud and its database serve."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http,
                http.get(f"{self.cloud_url}/readyz") as answer,
            ):
                return answer.ok
        except (aiohttp.ClientError, TimeoutError):
            return False


@asynccontextmanager
async def running(folder: Path, server: EmbeddedPostgres) -> AsyncIterator[Rig]:
    """A system that reports, from an empty database on; all of it stopped at the end."""
    rig = Rig(folder, server)
    async with AsyncExitStack() as stack:
        stack.enter_context(rig.machine)
        stack.push_async_callback(rig.stop)
        await rig.start("cloud")
        await rig.until("the cloud is ready", rig.ready)
        await rig.start("estate")

        async def has_socket() -> bool:
            return (folder / "control").exists()

        await rig.until("the simulator listens", has_socket)
        rig.control = await Control.connect(folder / "control")
        stack.push_async_callback(rig.control.close)
        claim = await rig.run_cloud("claim", "--estate", rig.site.estate.name)
        await run_once("anju", "enrol", "--cloud", rig.cloud_url, "--claim", claim, "--state", str(rig.state))
        await rig.start("edge")
        yield rig


class Schedule:
    """Kills in a seeded random order at random moments, each part started again after up to two seconds.

    Cloud and database may be killed while they start. The box has begun to poll: a kill before that shows nothing.
    """

    def __init__(self, rig: Rig, seed: int, times: int, pause_s: tuple[float, float]) -> None:
        self._rig, self._pause_s = rig, pause_s
        self._dice = random.Random(seed)
        self._order = list(TARGETS) * times
        self._dice.shuffle(self._order)
        self._away: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Kills them all in turn; two parts may be away at once. Returns when all are started again."""
        async with asyncio.TaskGroup() as group:
            for name in self._order:
                await asyncio.sleep(self._dice.uniform(*self._pause_s))
                if (away := self._away.get(name)) is not None and not away.done():
                    await away
                    await asyncio.sleep(self._dice.uniform(*self._pause_s))
                if name == "edge" and not await self._rig.is_polling():
                    await self._rig.until("the box polls", self._rig.is_polling)
                    await asyncio.sleep(self._dice.uniform(*self._pause_s))
                await self._rig.kill(name)
                self._away[name] = group.create_task(self._return(name, self._dice.uniform(0.0, 2.0)))

    async def _return(self, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._rig.start(name)
