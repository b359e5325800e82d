"""Configuration that changes while the box runs: checked first, applied as a difference, rolled back when it does harm.

A person changes the site file and says SIGHUP (`systemctl reload anju-edge`). What was refused, and what was rolled
back, stays refused after a restart: the box then runs what it kept as good, and says so.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from contract.clock import mono_ns
from contract.config import FILE
from contract.errors import AnjuError, ConfigError, Mistake
from contract.profile import AnyProfile, Profile
from contract.site import AnyBus, Device, ResolvedDevice, Site, resolve, site_digest
from edge.disk import sync_folder, write_durably
from edge.settings import load_config

log = structlog.get_logger(__name__)

TRIAL_S: Final = 60.0
"""So long a changed configuration has to show that what was on line before is on line again."""
LOOK_S: Final = 0.5
MOST_NAMED: Final = 5
WORST_SHARE: Final = 0.5
"""Of the devices that a change touched and that were on line before, at least so many must come back."""
BEFORE: Final = "the edit before this one was rolled back: "
GOOD = "good"
REJECTED_FILE = "rejected"
MISTAKES: Final = "the site file has mistakes: `anju check`"
ROLLED_BACK: Final = "the site file was rolled back: "
QUEUED_S: Final = 5.0
"""What is asked so soon after a change was rolled back was asked during its trial, by who cannot have seen that yet."""
NO_WORD: Final = "a fault within the box: its log has the details"


class Config(msgspec.Struct, frozen=True):
    """A checked configuration. `path` is the site file that relative paths in it are relative to."""

    path: Path
    site: Site
    profiles: Mapping[str, AnyProfile]
    devices: list[ResolvedDevice]
    digest: str
    """Names the site file's version; the cloud is told."""
    whole: str
    """Names the version of the site file with the profiles beside it."""
    problem: str = ""
    """Why this is not what the site file says; empty when it is."""
    note: str = ""
    """What became of the edit before it, where who wrote this one cannot have seen it."""

    @property
    def buses(self) -> list[AnyBus]:
        """The buses of the site."""
        return self.site.buses

    def needs_restart(self, other: "Config") -> bool:
        """Whether more than buses, devices and rules differ, so that the box begins anew within its process."""
        return _beneath(self) != _beneath(other)


def _beneath(config: Config) -> tuple[Site, list[tuple[str, Device, Profile]]]:
    """The site without its buses, and the devices that its linkage is about."""
    site = config.site
    named = {device for zone in site.zones for device in zone.triggers}
    named |= {act.device for rule in site.linkage for act in (*rule.first, *rule.then, *rule.after)}
    named |= {act.device for act in (site.guard_page.sound if site.guard_page else ())}
    concerned = [(item.bus.id, item.device, item.profile) for item in config.devices if item.device.id in named]
    return msgspec.structs.replace(site, buses=[]), concerned


def read_config(path: Path, relative_to: Path | None = None) -> Config:
    """The configuration in a site file and in `profiles/` beside it. Raises ConfigError with every mistake."""
    whole = _whole_digest(path)
    site, profiles = load_config(path, relative_to)
    while (now := _whole_digest(path)) != whole:  # somebody writes it this moment
        whole = now
        site, profiles = load_config(path, relative_to)
    try:
        digest = site_digest(path)
    except OSError as e:  # an editor is just putting it there
        raise ConfigError([Mistake(str(path), FILE, f"cannot be read: {e.strerror}", "reload once more")]) from e
    return Config(path, site, profiles, resolve(site, profiles), digest, whole)


def start_config(path: Path, state_dir: Path) -> Config:
    """What to start with: the site file, or what was kept as good where this one has mistakes or was rolled back.

    Raises ConfigError for a site file with mistakes where nothing was kept.
    """
    try:
        config = read_config(path)
    except AnjuError as e:
        kept = kept_good(path, state_dir, MISTAKES)
        if kept is None:
            raise
        log.error("the site file has mistakes; the one before it runs. Mend it and reload", mistakes=str(e))  # noqa: TRY400
        return kept
    try:
        rejected = (state_dir / REJECTED_FILE).read_bytes()
    except OSError:
        return config
    problem = (
        "this site file was rolled back, or the box ended while it was on trial; the one before it runs."
        " Mend the site file and reload"
    )
    if rejected != config.whole.encode() or (kept := kept_good(path, state_dir, problem)) is None:
        return config
    log.error(problem, site=str(path))
    return kept


def kept_good(path: Path, state_dir: Path, problem: str) -> Config | None:
    """What was kept as good, with why it has to run; None where there is none that can be used."""
    kept = state_dir / GOOD / path.name
    if not kept.is_file():
        return None
    try:
        return msgspec.structs.replace(read_config(kept, path.parent), path=path, problem=problem)
    except AnjuError as e:
        log.warning("the configuration that was kept as good cannot be used", kept=str(kept), mistakes=str(e))
        return None


class Online(msgspec.Struct, frozen=True):
    """How the box is, as far as a change can harm it: the devices on line, and whether the cloud is reached."""

    devices: frozenset[str]
    cloud: bool


class Trial(msgspec.Struct, frozen=True):
    """A change under observation: what ran before and how it was, and the devices that the change touched."""

    before: Config
    was: Online
    touched: frozenset[str]
    since_ns: int
    is_anew: bool = False
    """Whether the whole box began anew, and with it the way to the cloud."""

    def is_under_way(self, trial_s: float) -> bool:
        """Whether it may still be going on."""
        return mono_ns() - self.since_ns < trial_s * 1e9

    def is_passed(self, now: Online) -> bool:
        """Whether all that was there is there again."""
        return self._expected <= now.devices and not self._lost_cloud(now)

    def is_failed(self, now: Online) -> bool:
        """Whether, at the end of the trial, the change has to go."""
        expected = self._expected
        lost = expected and len(expected & now.devices) < WORST_SHARE * len(expected)
        return bool(lost) or self._lost_cloud(now)

    def _lost_cloud(self, now: Online) -> bool:
        return self.is_anew and self.was.cloud and not now.cloud

    @property
    def _expected(self) -> frozenset[str]:
        return self.was.devices & self.touched


class Reloader:
    """Looks at the site file when asked and decides; `apply` makes the box go on with another configuration.

    `apply` gets what to run and gives the devices that it touched; `online` says how the box is, by what it heard since
    a time. `check` raises AnjuError where something is missing without which the box could not begin anew.
    """

    def __init__(
        self,
        state_dir: Path,
        config: Config,
        apply: Callable[[Config], Awaitable[frozenset[str]]],
        online: Callable[[int], Online],
        trial_s: float = TRIAL_S,
        check: Callable[[Config], object] = lambda _: None,
    ) -> None:
        self.config = config
        self._state_dir, self._apply, self._online, self._trial_s = state_dir, apply, online, trial_s
        self._check = check
        self._rolled_back = config.problem if config.problem.startswith(ROLLED_BACK) else ""
        self._rolled_back_ns = mono_ns()

    async def run(self, asked: AsyncIterator[None], trial: Trial | None = None) -> Config:
        """Serves until a change needs the box to begin anew; gives what to begin with. `trial` is of such a change."""
        if trial is not None and (back := await self._watch(trial)) is not None:
            return back
        await self._keep_good()
        async for _ in asked:
            found = await self._read()
            if found is None:
                continue
            if found.needs_restart(self.config):
                log.info("the configuration changed beneath the buses: the box begins anew", digest=found.digest)
                await asyncio.to_thread(reject, self._state_dir, found)  # until it has passed its trial
                return found
            if (back := await self._try(found)) is not None:
                await self._change(back)
                self._rolled_back, self._rolled_back_ns = back.problem, mono_ns()
            await self._keep_good()
        raise AssertionError("whoever asks never ends")

    async def _try(self, found: Config) -> Config | None:
        """Applies a change and watches it. Returns None where it may stay, else what ran before."""
        before = self.config
        await asyncio.to_thread(reject, self._state_dir, found)  # until it has passed: should the box end meanwhile
        try:
            return await self._watch(await self._change(found))
        except Exception:
            # What is wrong with a change, or with us, must not end what watches for fire.
            log.exception("the changed configuration cannot be applied and is rolled back", digest=found.digest)
            problem = f"{ROLLED_BACK}{NO_WORD}. Mend it and reload"
            return msgspec.structs.replace(before, problem=problem)

    def trial_of(self, before: Config) -> Trial:
        """The trial that a box which begins anew has to pass."""
        touched = frozenset(item.device.id for item in before.devices)
        return Trial(before, self._online(0), self._soon(touched, before), mono_ns(), is_anew=True)

    def _soon(self, touched: frozenset[str], config: Config) -> frozenset[str]:
        """Those of the devices that must be heard within a trial: a sensor that speaks once an hour proves nothing."""
        return touched & {item.device.id for item in config.devices if item.silent_after_s <= TRIAL_S}

    async def _read(self) -> Config | None:
        """What the site file says now, where it can be used and differs from what runs."""
        try:
            found = await asyncio.to_thread(read_config, self.config.path)  # a second, on a small box
            if found.needs_restart(self.config):
                self._check(found)
        except AnjuError as e:
            log.error("the changed configuration has mistakes and is not used; what ran goes on", mistakes=str(e))  # noqa: TRY400
            problem = MISTAKES if isinstance(e, ConfigError) else f"the site file cannot be used: {e}"
            self.config = msgspec.structs.replace(self.config, problem=problem)
            return None
        except Exception:
            log.exception("the changed configuration cannot be looked at; what ran goes on")
            self.config = msgspec.structs.replace(self.config, problem=f"the site file cannot be read: {NO_WORD}")
            return None
        found = msgspec.structs.replace(found, note=self._note())
        if found.whole == self.config.whole:
            log.info("nothing changed in the configuration", digest=found.digest)
            self.config = msgspec.structs.replace(self.config, problem="", note=found.note)
            return None
        return found

    def _note(self) -> str:
        """That the edit before was rolled back and why, for a change that was asked for during its trial."""
        rolled_back, self._rolled_back = self._rolled_back, ""
        if not rolled_back or mono_ns() - self._rolled_back_ns > QUEUED_S * 1e9:
            return ""
        return f"{BEFORE}{rolled_back.removeprefix(ROLLED_BACK).partition('. Mend')[0]}"

    async def _change(self, to: Config) -> Trial:
        was, before = self._online(0), self.config
        touched = await self._apply(to)
        self.config = to
        log.info("configuration applied", digest=to.digest, touched=len(touched))
        return Trial(before, was, self._soon(touched, to), mono_ns())

    async def _watch(self, trial: Trial) -> Config | None:
        """Returns None once a change has shown that it does no harm, else what ran before."""
        try:
            back = await self._judge(trial)
        except asyncio.CancelledError:  # a clean stop is nothing to hold against it
            accept(self._state_dir)
            raise
        if back is None:
            await asyncio.to_thread(accept, self._state_dir)
        return back

    async def _judge(self, trial: Trial) -> Config | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._trial_s
        while not trial.is_passed(now := self._online(trial.since_ns)):
            if loop.time() < until:
                await asyncio.sleep(LOOK_S)
                continue
            if not trial.is_failed(now):
                break
            lost = sorted((trial.was.devices & trial.touched) - now.devices)
            log.error("the changed configuration does harm and is rolled back", lost=lost[:20], count=len(lost),
                      is_cloud_connected=now.cloud, digest=self.config.digest)  # fmt: skip
            named = f" ({', '.join(lost[:MOST_NAMED])}{', …' if len(lost) > MOST_NAMED else ''})" if lost else ""
            problem = f"{ROLLED_BACK}{len(lost)} devices were lost by it{named}. Mend it and reload"
            return msgspec.structs.replace(trial.before, problem=problem)
        return None

    async def _keep_good(self) -> None:
        """Keeps a copy of what runs well, for a start with a site file that has mistakes or was rolled back."""
        if self.config.problem:  # then the site file says something else
            return
        try:
            await asyncio.to_thread(_keep, self._state_dir, self.config.path, self.config.whole)
        except OSError as e:
            log.warning("the configuration that runs well cannot be kept", problem=str(e))


def accept(state_dir: Path) -> None:
    """Forgets what `reject` kept in mind."""
    with suppress(OSError):
        (state_dir / REJECTED_FILE).unlink()


def reject(state_dir: Path, config: Config) -> None:
    """Keeps in mind that this configuration is on trial or was rolled back, so that no start tries it again."""
    try:
        write_durably(state_dir / REJECTED_FILE, config.whole.encode())
    except OSError as e:
        log.warning("that a configuration is on trial, or was rolled back, cannot be kept", problem=str(e))


def _keep(state_dir: Path, path: Path, whole: str) -> None:
    """Copies the site file and what is beside it, whole or not at all. Raises OSError."""
    folder, fresh = state_dir / GOOD, state_dir / f"{GOOD}.new"
    if (folder / path.name).exists() and _whole_digest(folder / path.name) == whole:
        return
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(mode=0o700)
        for source in (*_own_profiles(path), path):
            target = fresh / source.relative_to(path.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_durably(target, source.read_bytes())
        if _whole_digest(fresh / path.name) != whole:  # changed again meanwhile
            return
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
        sync_folder(state_dir)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _own_profiles(path: Path) -> list[Path]:
    return sorted((path.parent / "profiles").rglob("*.yaml"))


def _whole_digest(path: Path) -> str:
    digest = hashlib.sha256()
    for part in (path, *_own_profiles(path)):
        try:
            data = part.read_bytes()
        except OSError:
            data = b""
        digest.update(len(data).to_bytes(8, "little") + part.name.encode() + b"\0" + data)
    return digest.hexdigest()
