"""The demo's system, started part by part: database, cloud, simulated estate, box."""

import asyncio
import fcntl
import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import msgspec

from contract.errors import AnjuError
from simulators.demo.processes import POLL_S, READY_S, Child, PortTakenError, free_port, run_once, tail
from simulators.postgres import EmbeddedPostgres

ESTATE = "西苑小区"
CLOUD_ENV = "cloud.env"
"""The settings of the demo's cloud, for commands beside it: a claim for a second box."""
SCENARIOS = Path(__file__).parent.parent / "scenarios"
_ANY_PORT = (0,) * 4
"""Further tries where another program takes a port between the look and the use."""
_GUARD_LISTEN = re.compile(r"listen: ([\d.]+):(\d+)")


class GuardPage(msgspec.Struct, frozen=True):
    """The box's own page for who is on duty: where it is, and its password."""

    url: str
    password: str


class Demo(msgspec.Struct, frozen=True):
    """A running demo: where the console is, who may log in, and the files beside it. Without a guard page where its
    port was taken meanwhile."""

    url: str
    login: str
    password: str
    database_url: str
    control: Path
    truth: Path
    scenario: Path
    children: tuple[Child, ...]
    guard: GuardPage | None = None


Say = Callable[[str, str], None]
"""Tells the person about a part: its name, and what it is doing."""


@asynccontextmanager
async def start(
    folder: Path, say: Say, *, database_url: str = "", scenario: Path = SCENARIOS / "smoke.yaml"
) -> AsyncIterator[Demo]:
    """Starts everything below `folder`, where an earlier demo's data are taken up again; stops it all at the end.

    Uses the database given, or an embedded one; plays the scenario, which must be of the shipped site. Raises AnjuError
    saying what is wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    async with AsyncExitStack() as stack:
        stack.enter_context(_only_one(folder))
        database_url, data = await _database(folder, database_url, stack, say)
        cloud, url, environment = await _cloud(folder, database_url, stack, say)
        login, password = await _login(data, environment)

        control, truth = _socket(stack), folder / "devices.jsonl"
        estate, site = await _estate(folder, url, scenario, control, truth, stack)
        say("estate", f"{ESTATE}: {site.read_text(encoding='utf-8').count('profile:')} simulated devices on Modbus TCP")

        state = data / "box"
        if not (state / "identity.json").exists():  # the last that enrolling writes
            claim = await run_once("anju-cloud", "claim", "--estate", ESTATE, environment=environment)
            await run_once("anju", "enrol", "--cloud", url, "--claim", claim, "--state", str(state))
            say("box", "enrolled with a one-time claim; its key stays on it")
        box, page, guard = await _box(folder, site, state, stack)
        say("box", f"polling every 250 ms; {page}")
        played, children = site.with_name("scenario.yaml"), (cloud, estate, box)
        try:
            yield Demo(url, login, password, database_url, control, truth, played, children, guard)
        finally:
            say("stopping", "box, estate, cloud, database")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Holds the demo's folder for this process alone; the lock goes with us however we die."""
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            lock.seek(0)
            raise AnjuError(
                f"a demo runs in {folder} already, as process {lock.read().strip() or 'unknown'}.\n"
                "Stop that one first (Ctrl-C in its terminal), or name another folder: anju-sim demo --folder FOLDER"
            ) from e
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


async def _database(folder: Path, given: str, stack: AsyncExitStack, say: Say) -> tuple[str, Path]:
    """The database's address, and the folder for what belongs to it: the box enrolled there, the login."""
    if given:
        say("database", "asking the one that DATABASE_URL names")
        # At once, where `serve` would wait a minute for a server that is starting; only then is anything written.
        await run_once("anju-cloud", "migrate", environment={"DATABASE_URL": given})
        data = folder / hashlib.sha256(given.encode()).hexdigest()[:8]
        data.mkdir(exist_ok=True)
        say("database", "answers, and is up to date")
        return given, data
    data = folder / "embedded"
    data.mkdir(exist_ok=True)
    kept = (data / "postgres").exists()
    server = EmbeddedPostgres(data / "postgres", ends_with_us=True)
    starting = asyncio.create_task(asyncio.to_thread(server.start), name="postgres")
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait((starting,))  # a thread cannot be interrupted
        if starting.exception() is None:
            server.stop()
        raise
    stack.callback(server.stop)
    say("database", f"embedded PostgreSQL, {'with the data of last time' if kept else 'new'} in {data}")
    return server.url, data


async def _cloud(folder: Path, database_url: str, stack: AsyncExitStack, say: Say) -> tuple[Child, str, dict[str, str]]:
    """The cloud, ready, with its address and the environment of its commands."""
    for wanted in (8080, *_ANY_PORT):
        port = free_port(wanted)
        url = f"http://127.0.0.1:{port}"
        environment = {"DATABASE_URL": database_url, "ANJU_LISTEN": f"127.0.0.1:{port}", "ANJU_PUBLIC_URL": url}
        cloud = await _child(stack, "cloud", "anju-cloud", "serve", log=folder / "cloud.log", environment=environment)
        telling = asyncio.create_task(cloud.tell_waiting(say), name="tell")
        try:
            await cloud.until_listening({port})
            await _until_ready(f"{url}/readyz", cloud)
        except PortTakenError:
            continue
        finally:
            telling.cancel()
        _write_private(folder / CLOUD_ENV, "".join(f"{name}={value}\n" for name, value in environment.items()))
        say("cloud", f"serving {url}")
        return cloud, url, environment
    raise AnjuError("the cloud found no free port on 127.0.0.1, as other programs were quicker; start the demo again")


async def _estate(
    folder: Path, url: str, source: Path, control: Path, truth: Path, stack: AsyncExitStack
) -> tuple[Child, Path]:
    """The simulated devices, listening, and the site file that names their ports."""
    for _ in _ANY_PORT:
        site, scenario, ports = _scenario(folder, url, source)
        truth.unlink(missing_ok=True)
        estate = await _child(
            stack, "estate", "anju-sim", "run", str(scenario),
            "--log", str(truth), "--control", str(control), log=folder / "estate.log",
        )  # fmt: skip
        try:
            await estate.until_listening(ports)
        except PortTakenError:
            continue
        return estate, site
    raise AnjuError("the simulated devices found no free ports, as other programs were quicker; start the demo again")


async def _box(folder: Path, site: Path, state: Path, stack: AsyncExitStack) -> tuple[Child, str, GuardPage | None]:
    """The box, running, words on where its own page is, and the guard page."""
    log, health_port, password = folder / "box.log", free_port(8081), _guard_password(folder)
    environment = {"ANJU_HEALTH_LISTEN": f"127.0.0.1:{health_port}", "ANJU_SECRETS": str(folder / "secrets")}
    box = await _child(
        stack, "box", "anju", "run", "--site", str(site), "--state", str(state), log=log, environment=environment
    )
    await box.until(lambda: "box runs" in log.read_text(errors="replace"))
    # A box whose page finds its port taken does its work without one.
    ports = box.ports()
    page = f"its own page is http://127.0.0.1:{health_port}" if health_port in ports else f"without a page, see {log}"
    listen = re.search(_GUARD_LISTEN, site.read_text(encoding="utf-8"))
    guard = GuardPage(f"http://{listen[1]}:{listen[2]}", password) if listen and int(listen[2]) in ports else None
    return box, page, guard


def _guard_password(folder: Path) -> str:
    """The guard page's password, made at the first start, in the file that the site file's secret names."""
    kept = folder / "secrets" / "guard-password"
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    if not kept.exists():
        _write_private(kept, secrets.token_urlsafe(9) + "\n")
    return kept.read_text().strip()


def _write_private(path: Path, text: str) -> None:
    """Writes a file for its owner alone; one whose writer was killed half-way is not taken for it."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text)
    new.rename(path)


async def _child(
    stack: AsyncExitStack, name: str, *command: str, log: Path, environment: dict[str, str] | None = None
) -> Child:
    log.unlink(missing_ok=True)
    child = await Child.start(name, *command, log=log, environment=environment)
    stack.push_async_callback(child.stop)
    return child


async def _until_ready(url: str, child: Child) -> None:
    """Waits until it answers. Raises AnjuError where it ended, or its database does not come."""
    deadline = time.monotonic() + READY_S
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
            await asyncio.sleep(POLL_S)
    raise AnjuError(f"the {child.name} is not ready after {READY_S:.0f} s:\n{tail(child.log)}")


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
    _write_private(kept, f"{login} {password}\n")
    return login, password


def _scenario(folder: Path, url: str, source: Path) -> tuple[Path, Path, set[int]]:
    """The shipped site file and the scenario, with this demo's cloud and with ports that are free, and those ports."""
    ports: set[int] = set()

    def free(found: re.Match[str]) -> str:
        port = free_port(int(found[1]))
        ports.add(port)
        return f"port: {port}"

    text = re.sub(r"port: (\d+)", free, (SCENARIOS / "site.yaml").read_text(encoding="utf-8"))
    text = re.sub(_GUARD_LISTEN, lambda found: f"listen: {found[1]}:{free_port(int(found[2]))}", text)
    site = folder / "site.yaml"
    site.write_text(re.sub(r'url: "[^"]*"', f'url: "{url}"', text), encoding="utf-8")
    scenario = folder / "scenario.yaml"
    scenario.write_bytes(source.read_bytes())
    return site, scenario, ports


def _socket(stack: AsyncExitStack) -> Path:
    """A path for the control socket, short enough for a Unix socket wherever the demo's folder is."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anju-demo-"))) / "control"
