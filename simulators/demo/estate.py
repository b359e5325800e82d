"""The demo's system, started part by part: database, cloud, simulated estate, box."""

import asyncio
import hashlib
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import structlog

from contract.errors import AnjuError
from simulators.demo.processes import Child, free_port, run_once, tail
from simulators.postgres import EmbeddedPostgres

log = structlog.get_logger()
ESTATE = "西苑小区"
SCENARIOS = Path(__file__).parent.parent / "scenarios"
_READY_S = 60.0


class Demo(msgspec.Struct, frozen=True):
    """A running demo: where the console is, who may log in, and the files beside it."""

    url: str
    login: str
    password: str
    database_url: str
    control: Path
    truth: Path
    children: tuple[Child, ...]


Say = Callable[[str, str], None]
"""Tells the person about a part: its name, and what it is doing."""


@asynccontextmanager
async def start(
    folder: Path, say: Say, *, database_url: str = "", scenario: Path = SCENARIOS / "smoke.yaml"
) -> AsyncIterator[Demo]:
    """Starts everything below `folder`, where an earlier demo's data are taken up again; stops it all at the end.

    Uses the database given, or an embedded one; plays the scenario, which must be of the shipped site.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    async with AsyncExitStack() as stack:
        database_url, data = await _database(folder, database_url, stack, say)
        port = free_port(8080)
        url = f"http://127.0.0.1:{port}"
        environment = {"DATABASE_URL": database_url, "ANJU_LISTEN": f"127.0.0.1:{port}", "ANJU_PUBLIC_URL": url}
        cloud = await _child(stack, "cloud", "anju-cloud", "serve", log=folder / "cloud.log", environment=environment)
        await _until_ready(f"{url}/readyz", cloud)
        say("cloud", f"serving {url}")
        login, password = await _login(data, environment)

        site, played = _scenario(folder, url, scenario)
        control, truth = _socket(stack), folder / "devices.jsonl"
        truth.unlink(missing_ok=True)
        estate = await _child(
            stack, "simulated estate", "anju-sim", "run", str(played),
            "--log", str(truth), "--control", str(control), log=folder / "estate.log",
        )  # fmt: skip
        say("estate", f"{ESTATE}: {site.read_text().count('profile:')} simulated devices on Modbus TCP")

        state = data / "box"
        if not state.exists() or not any(state.iterdir()):
            claim = await run_once("anju-cloud", "claim", "--estate", ESTATE, environment=environment)
            await run_once("anju", "enrol", "--cloud", url, "--claim", claim, "--state", str(state))
            say("box", "enrolled with a one-time claim; its key stays on it")
        health = {"ANJU_HEALTH_LISTEN": f"127.0.0.1:{free_port(8081)}"}
        box = await _child(
            stack, "box", "anju", "run", "--site", str(site), "--state", str(state),
            log=folder / "box.log", environment=health,
        )  # fmt: skip
        say("box", f"polling every 250 ms; its own page is http://{health['ANJU_HEALTH_LISTEN']}")
        yield Demo(url, login, password, database_url, control, truth, (cloud, estate, box))
        say("stopping", "box, estate, cloud, database")


async def _database(folder: Path, given: str, stack: AsyncExitStack, say: Say) -> tuple[str, Path]:
    """The database's address, and the folder for what belongs to it: the box enrolled there, the login."""
    if given:
        data = folder / hashlib.sha256(given.encode()).hexdigest()[:8]
        data.mkdir(exist_ok=True)
        say("database", "the one that was given")
        return given, data
    data = folder / "embedded"
    data.mkdir(exist_ok=True)
    kept = (data / "postgres").exists()
    server = EmbeddedPostgres(data / "postgres")
    await asyncio.to_thread(server.start)
    stack.callback(server.stop)
    say("database", f"embedded PostgreSQL, {'with the data of last time' if kept else 'new'} in {data}")
    return server.url, data


async def _child(
    stack: AsyncExitStack, name: str, *command: str, log: Path, environment: dict[str, str] | None = None
) -> Child:
    log.unlink(missing_ok=True)
    child = await Child.start(name, *command, log=log, environment=environment)
    stack.push_async_callback(child.stop)
    return child


async def _until_ready(url: str, child: Child) -> None:
    deadline = time.monotonic() + _READY_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        while time.monotonic() < deadline:
            if child.process.returncode is not None:
                await child.ended()
            try:
                async with http.get(url) as answer:
                    if answer.ok:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
    raise AnjuError(f"the {child.name} is not ready after {_READY_S:.0f} s:\n{tail(child.log)}")


async def _login(data: Path, environment: dict[str, str]) -> tuple[str, str]:
    """The demo's login: made at the first start, kept in a file that only its owner can read."""
    kept = data / "login"
    if kept.exists():
        login, password = kept.read_text().split()
        return login, password
    login, password = f"demo-{secrets.token_hex(2)}", secrets.token_urlsafe(9)
    await run_once(
        "anju-cloud", "user", "add", login, "--estate", ESTATE, "--name", "王芳", "--role", "manager",
        "--password-stdin", environment=environment, stdin=password + "\n",
    )  # fmt: skip
    kept.touch(mode=0o600)
    kept.write_text(f"{login} {password}\n")
    return login, password


def _scenario(folder: Path, url: str, source: Path) -> tuple[Path, Path]:
    """The scenario and the shipped site file, with this demo's cloud and with ports that are free."""
    text = (SCENARIOS / "site.yaml").read_text(encoding="utf-8")
    text = re.sub(r"port: (\d+)", lambda port: f"port: {free_port(int(port[1]))}", text)
    site = folder / "site.yaml"
    site.write_text(re.sub(r'url: "[^"]*"', f'url: "{url}"', text), encoding="utf-8")
    scenario = folder / "scenario.yaml"
    scenario.write_bytes(source.read_bytes())
    return site, scenario


def _socket(stack: AsyncExitStack) -> Path:
    """A path for the control socket, short enough for a Unix socket wherever the demo's folder is."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anju-demo-"))) / "control"
