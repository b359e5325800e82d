"""The cloud as it is put up: `anju-cloud serve` over an embedded PostgreSQL, behind Caddy with our Caddyfile."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.errors import AnjuError
from simulators.demo.processes import Child, free_port, run_once
from simulators.postgres import EmbeddedPostgres
from tests.bench.processes import until_open
from tests.support.certificates import certificates

CADDYFILE = Path("deploy/compose/Caddyfile").absolute()
ESTATE = "测速小区"


@dataclass(frozen=True)
class TlsCloud:
    """A running cloud: where boxes reach it, the authority they must trust, and what its own commands need."""

    url: str
    ca: Path
    environment: dict[str, str]
    cloud: Child

    async def enrol(self, state: Path, *prefix: str) -> None:
        """Makes a state folder a box of this cloud; `prefix` goes before the command that does it."""
        claim = await run_once("anju-cloud", "claim", "--estate", ESTATE, environment=self.environment)
        enrol = ("enrol", "--cloud", self.url, "--claim", claim, "--ca", str(self.ca), "--state", str(state))
        anju = Path(sys.executable).with_name("anju")
        process = await asyncio.create_subprocess_exec(*prefix, str(anju), *enrol, stdout=asyncio.subprocess.DEVNULL)
        if await process.wait():
            raise AnjuError("the box could not be enrolled")


@asynccontextmanager
async def tls_cloud(folder: Path, address: str = "127.0.0.1") -> AsyncIterator[TlsCloud]:
    """Everything up, reached at an address of this machine."""
    if shutil.which("caddy") is None:
        raise AnjuError("this benchmark needs Caddy, which stands before the cloud: apt-get install caddy")
    ca, certificate, key = certificates(folder, hours_left=24.0, address=address)
    async with AsyncExitStack() as stack:
        server = EmbeddedPostgres(folder / "postgres", ends_with_us=True)
        await asyncio.to_thread(server.start)
        stack.callback(server.stop)
        port, tls_port = free_port(0), free_port(0)
        url = f"https://{address}:{tls_port}"
        environment = {
            "DATABASE_URL": server.url, "ANJU_LISTEN": f"127.0.0.1:{port}", "ANJU_PUBLIC_URL": url,
            "ANJU_TRUSTED_PROXY": "127.0.0.1",
        }  # fmt: skip
        cloud = await Child.start("cloud", "anju-cloud", "serve", log=folder / "cloud.log", environment=environment)
        stack.push_async_callback(cloud.stop)
        await cloud.until_listening({port})
        caddy = await Child.launch(
            "caddy", ["caddy", "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"], log=folder / "caddy.log",
            environment={
                "DOMAIN": url, "TLS": f"{certificate} {key}", "UPSTREAM": f"127.0.0.1:{port}",
                "HTTP_PORT": str(free_port(0)), "HTTPS_PORT": str(tls_port), "XDG_DATA_HOME": str(folder),
                "XDG_CONFIG_HOME": str(folder),
            },
        )  # fmt: skip
        stack.push_async_callback(caddy.stop)
        await until_open(tls_port, host=address)
        yield TlsCloud(url, ca, environment, cloud)
