"""How many boxes a cloud holds: all connected over TLS and reporting, what each costs in memory, how quick an alarm is.

Everything is on this machine: the database, the cloud, the TLS front of deploy/compose (haproxy) and the simulated
boxes. A box is a participant of the real protocol: a key, a session, a down stream held open, a beat every 20 s, a
block of telemetry a minute, smoke events at random.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cloud.store import Database, gateways, people
from contract.errors import AnjuError
from simulators.demo.processes import free_port
from simulators.load.fleet import Fleet
from simulators.load.plan import Identity, Plan, Tick, new_key, write_identities
from simulators.postgres import EmbeddedPostgres
from tests.bench.figures import percentile
from tests.bench.processes import cpu_s, ended, until_open
from tests.support.certificates import certificates

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 180.0
BOXES_AN_ESTATE = 4
URGENT_A_S = 33.0
"""Smoke events of all boxes together: enough for a 99th percentile in three minutes, whatever the size."""
FRONTS = 2
"""Processes of haproxy: 30,000 sockets are more than one may have on many machines (20,000, say)."""
CLOUDS = 1
_SETTINGS = {"max_connections": "60", "shared_buffers": "256MB", "max_wal_size": "4GB"}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One size: memory of the cloud and its TLS front in KB (10^3 bytes), CPU seconds a second, and what was done."""

    boxes: int
    front_kb: float
    cloud_kb: float
    idle_kb: float
    database_kb: float
    front_cpu: float
    cloud_cpu: float
    database_cpu: float
    load_cpu: float
    seconds: float
    done: Tick

    @property
    def kb_each(self) -> float:
        """Of server memory, all of it."""
        return (self.front_kb + self.cloud_kb) / self.boxes

    def p(self, what: str, percent: float) -> float:
        """A percentile of the milliseconds of a kind of request."""
        return percentile(self.done.ms[what], percent)

    def note(self) -> str:
        """Everything, in a line."""
        counts = self.done.counts
        rates = ", ".join(
            f"{counts.get(what, 0) / self.seconds:.1f} {what}" for what in ("beat", "bulk", "urgent", "session")
        )
        troubles = {what: n for what, n in counts.items() if what in {"lost", "urgent busy", "bulk busy"}}
        return (
            f"{self.boxes} boxes: front {self.front_kb / self.boxes:.1f}, cloud {self.cloud_kb / self.boxes:.1f} KB"
            f" each (without boxes {self.idle_kb / 1000:.0f} MB in all; database {self.database_kb / 1000:.0f} MB);"
            f" CPU front {self.front_cpu:.2f}, cloud {self.cloud_cpu:.2f}, database {self.database_cpu:.2f},"
            f" boxes {self.load_cpu:.2f}; a second: {rates};"
            f" ms p50/p99 urgent {self.p('urgent', 50):.0f}/{self.p('urgent', 99):.0f},"
            f" bulk {self.p('bulk', 50):.0f}/{self.p('bulk', 99):.0f}; {troubles or 'nothing lost or refused'}"
        )


def pss_kb(pid: int) -> float:
    """Proportional memory of a process in KB (10^3 bytes): what it shares counts by its share. Source: proc(5)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1.024
    raise RuntimeError(f"no Pss of process {pid}")


def database_kb(pid: int) -> float:
    """Memory of a postmaster and its backends, which come and go."""
    total = pss_kb(pid)
    for child in psutil.Process(pid).children():
        with suppress(FileNotFoundError, ProcessLookupError):
            total += pss_kb(child.pid)
    return total


def database_cpu_s(pid: int) -> float:
    """CPU seconds of a postmaster and its backends, also of those that ended."""
    used = psutil.Process(pid).cpu_times()
    total = used.user + used.system + used.children_user + used.children_system
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return total


async def load_boxes(url: str, path: Path, count: int) -> None:
    """Puts boxes with their keys into a database, a few of them an estate, and their identities into a file."""
    identities = []
    async with Database.open(url, 2) as database, database.transaction() as connection:
        estate = 0
        for n in range(count):
            if n % BOXES_AN_ESTATE == 0:
                estate = await people.put_area(
                    connection, None, "estate", f"小区{n // BOXES_AN_ESTATE}", "Asia/Shanghai"
                )
            private, public = new_key()
            gateway = await gateways.put_gateway(connection, estate, public, f"box-{n}", "0.1.0")
            identities.append(Identity(str(gateway), private))
    write_identities(path, identities)


@dataclass(frozen=True)
class System:
    """A running cloud behind its front: how boxes reach it, and its processes."""

    url: str
    ca: Path
    database: EmbeddedPostgres
    database_url: str
    fronts: list[int]
    clouds: list[int]

    def memory_kb(self) -> tuple[float, float, float]:
        """Of front, cloud and database."""
        return sum(map(pss_kb, self.fronts)), sum(map(pss_kb, self.clouds)), database_kb(self.postmaster)

    def cpu_s(self) -> tuple[float, float, float]:
        """CPU seconds of front, cloud and database."""
        return sum(map(cpu_s, self.fronts)), sum(map(cpu_s, self.clouds)), database_cpu_s(self.postmaster)

    @property
    def postmaster(self) -> int:
        """The database's first process."""
        return int((self.database.cluster / "postmaster.pid").read_text().split()[0])


def tool(name: str) -> str:
    """A Debian program, also one in /usr/sbin. Raises AnjuError saying how to get it."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise AnjuError(f"{name} is missing: make test-servers")
    return found


@asynccontextmanager
async def process(*command: str, log: Path, **environment: str) -> AsyncIterator[int]:
    """A process while the block runs, its words in a file; gives its number."""
    with log.open("ab") as words:
        running = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=words, stderr=words, env=os.environ | environment
        )
    try:
        yield running.pid
    finally:
        await ended(running)


@asynccontextmanager
async def system(folder: Path, fronts: int = FRONTS, clouds: int = CLOUDS) -> AsyncIterator[System]:
    """Database, cloud processes and TLS front, each as deployed but for their number."""
    ca, certificate, key = certificates(folder, hours_left=12)
    (folder / "front.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    postgres = EmbeddedPostgres(folder / "database", settings=_SETTINGS, ends_with_us=True)
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(postgres.start)
        stack.callback(postgres.remove)
        front_port, ports = free_port(0), [free_port(0) for _ in range(clouds)]
        url = f"https://127.0.0.1:{front_port}"
        own = []
        for port in ports:
            own.append(
                await stack.enter_async_context(
                    process(
                        str(Path(sys.executable).with_name("anju-cloud")), "serve", log=folder / f"cloud-{port}.log",
                        DATABASE_URL=postgres.url, ANJU_LISTEN=f"127.0.0.1:{port}", ANJU_PUBLIC_URL=url,
                        ANJU_TRUSTED_PROXY="127.0.0.1", ANJU_LOG_JSON="1",
                    )
                )
            )  # fmt: skip
            await until_open(port, 60)
        config = (ROOT / "deploy/compose/haproxy.cfg").read_text()
        line = '  server cloud "${UPSTREAM}" check inter 2s resolvers system init-addr libc,none\n'
        assert config.count(line) == 2
        servers = "".join(f"  server cloud{n} 127.0.0.1:{port}\n" for n, port in enumerate(ports))
        (folder / "haproxy.cfg").write_text(
            config.replace(line, servers).replace("global\n", "global\n  nbthread 1\n  no strict-limits\n", 1)
        )
        here = {
            "CERTIFICATE": str(folder / "front.pem"), "LISTEN": f"127.0.0.1:{front_port}", "MOST_CONNECTIONS": "10500",
        }  # fmt: skip
        command = (tool("haproxy"), "-db", "-f", str(folder / "haproxy.cfg"))
        before = [
            await stack.enter_async_context(process(*command, log=folder / f"front-{n}.log", **here))
            for n in range(fronts)
        ]
        await until_open(front_port)
        yield System(url, ca, postgres, postgres.url, before, own)


async def measure(
    folder: Path, boxes: int, seconds: float = SECONDS, fronts: int = FRONTS, clouds: int = CLOUDS
) -> Measured:
    """Connects so many boxes, waits until all report, and measures for so long."""
    async with system(folder, fronts, clouds) as there:
        identities = folder / "boxes.jsonl"
        await load_boxes(there.database_url, identities, boxes)
        front_kb, cloud_kb, _ = there.memory_kb()
        plan = Plan(
            cloud=there.url, boxes=str(identities), ca=str(there.ca), urgent_s=boxes / URGENT_A_S, connect_per_s=22
        )
        async with Fleet(plan, boxes, 2) as fleet:
            began = time.monotonic()
            said_s = began
            while fleet.connected < boxes:
                await fleet.next_second()
                if time.monotonic() > said_s + 10:
                    said_s = time.monotonic()
                    done = fleet.done
                    print(f"{said_s - began:.0f} s: {fleet.connected} of {boxes} boxes {done.counts} {done.problems}")
            await asyncio.sleep(60)  # every box has beaten, and sent its telemetry once
            fleet.forget()
            cpu, at = (*there.cpu_s(), sum(map(cpu_s, fleet.pids))), time.monotonic()
            await asyncio.sleep(seconds)
            cpu_after = (*there.cpu_s(), sum(map(cpu_s, fleet.pids)))
            used = [after - before for before, after in zip(cpu, cpu_after, strict=True)]
            took_s, memory = time.monotonic() - at, there.memory_kb()
            if fleet.connected < boxes:
                print(f"only {fleet.connected} of {boxes} boxes are connected: {fleet.done.problems}")
            return Measured(
                boxes=boxes, front_kb=memory[0], cloud_kb=memory[1], idle_kb=front_kb + cloud_kb, database_kb=memory[2],
                front_cpu=used[0] / took_s, cloud_cpu=used[1] / took_s, database_cpu=used[2] / took_s,
                load_cpu=used[3] / took_s, seconds=took_s, done=fleet.done,
            )  # fmt: skip


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="anju-bench-") as name:
        size, seconds = int(sys.argv[1]), float(sys.argv[2])
        print(asyncio.run(measure(Path(name), size, seconds)).note())
