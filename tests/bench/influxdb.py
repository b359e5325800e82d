"""The rival of the burst: InfluxDB 1.x as Debian packs it, taken apart into a folder of its own, with its defaults."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from contract.errors import AnjuError
from simulators.demo.processes import free_port
from tests.bench.processes import BUILT, ended, until_open

RIVAL = "InfluxDB 1.x (Debian), line protocol"
_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  max-series-per-database = 0
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-body-size = 0
[monitor]
  store-enabled = false
[logging]
  level = "error"
"""


def influxd() -> Path:
    """The program, downloaded once. Raises AnjuError where this is no Debian."""
    home = BUILT / "influxdb"
    program = home / "usr/bin/influxd"
    if not program.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            raise AnjuError("InfluxDB is measured as Debian packs it; this machine has no apt-get")
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "influxdb"], cwd=home, check=True
        )
        (package,) = home.glob("influxdb_*.deb")
        subprocess.run(["dpkg", "-x", str(package), str(home)], check=True)
    return program


@dataclass
class Influx:
    """A running server and how to write to its database `bench`."""

    url: str
    pid: int

    async def write(self, client: aiohttp.ClientSession, lines: bytes) -> None:
        """Writes a batch; acknowledged once it is in the write-ahead log."""
        async with client.post(f"{self.url}/write", params={"db": "bench", "precision": "ns"}, data=lines) as answer:
            if answer.status != 204:
                raise AnjuError(f"InfluxDB says {answer.status}: {await answer.text()}")

    async def count(self, client: aiohttp.ClientSession) -> int:
        """How many values it has."""
        query = {"db": "bench", "q": "SELECT count(v) FROM r"}
        async with client.get(f"{self.url}/query", params=query) as answer:
            found = await answer.json()
        return int(found["results"][0]["series"][0]["values"][0][1])


@asynccontextmanager
async def running_influxdb(folder: Path) -> AsyncIterator[Influx]:
    """A server with an empty database, its data in `folder`."""
    port, rpc = free_port(0), free_port(0)
    config = folder / "influxdb.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, rpc=rpc))
    process = await asyncio.create_subprocess_exec(
        str(influxd()), "-config", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    try:
        await until_open(port)
        influx = Influx(f"http://127.0.0.1:{port}", process.pid)
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{influx.url}/query", params={"q": "CREATE DATABASE bench"}) as answer,
        ):
            answer.raise_for_status()
        yield influx
    finally:
        await ended(process)


def lines_of(series: Sequence[int], at_us: Sequence[int], value: Sequence[float]) -> bytes:
    """Readings as line protocol: one measurement, the series as its tag."""
    return "\n".join(f"r,s={s} v={v} {at}000" for s, at, v in zip(series, at_us, value, strict=True)).encode()
