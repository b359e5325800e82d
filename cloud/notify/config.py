"""Who is told of what, as a YAML file says it (deploy/notify.example.yaml), and how it takes the place of what was."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from cloud.notify.oncall import Login, Schedule
from cloud.notify.oncall import problems as schedule_problems
from cloud.notify.policy import PRIORITIES, Name, Priority, Step
from cloud.store import Connection, Database, notify, oncall, people
from cloud.store.oncall import NewChannel, NewPolicy, Reach
from contract.config import Loaded, Problem, is_bad, load_file, nearest
from contract.errors import ConfigError

PERSONAL_KINDS = frozenset({"email"})
"""Channels that write to a person's own address; of others the file says whether one person alone reads them."""
_MOST_STEPS = 20
_MOST_TOLD = 50
Mobile = Annotated[str, msgspec.Meta(pattern=r"^(\+?[0-9]{5,20})?$", description='digits in quotes: "13800138000"')]

CheckChannel = Callable[[str, Mapping[str, Any]], object]
"""Raises ConfigError where a kind cannot be configured so (cloud/notify/channels)."""


class ChannelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way to people."""

    name: Name
    kind: Name
    """apprise, dingtalk, email, feishu, webhook or wecom; its README says what its config holds."""
    area: Name
    """Whose it is: an area's name."""
    language: Literal["zh", "en"] = "zh"
    """Of messages to nobody in particular."""
    personal: bool | None = None
    """One person alone reads it: a link to acknowledge in their name may go through it. Left out: true for e-mail."""
    config: dict[str, Any] = {}
    """By its kind. Secrets are named: env:NAME or file:NAME."""


class PersonEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one person is reached."""

    login: Login
    email: Annotated[str, msgspec.Meta(max_length=200)] = ""
    mobile: Mobile = ""
    channels: Annotated[list[Name], msgspec.Meta(max_length=20)] = []
    """In their order: what one refuses goes by the next."""


class Repeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """After the last step all of it again."""

    every_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)]
    times: Annotated[int, msgspec.Meta(ge=1, le=100)]


class PolicyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is told of an area's alarms. Of several the one of the nearest area counts that names the priority."""

    name: Name
    area: Name
    priorities: list[Priority] = msgspec.field(default_factory=lambda: list(PRIORITIES))
    steps: list[Step]
    repeat: Repeat | None = None


class NotifyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. What it does not name is no more."""

    channels: list[ChannelEntry] = []
    people: list[PersonEntry] = []
    schedules: list[Schedule] = []
    policies: list[PolicyEntry] = []


def load(path: Path, check: CheckChannel) -> Loaded[NotifyFile]:
    """The file, checked by itself. Raises ConfigError with every mistake."""
    return load_file(path, NotifyFile, None, lambda file: list(_problems(file, check)))


async def put(database: Database, loaded: Loaded[NotifyFile], by: str) -> dict[str, int]:
    """Puts a file in force, in one transaction with its line in the audit log; returns how many of each there are.

    Raises ConfigError where it names areas or people that the database does not have.
    """
    file = loaded.value
    async with database.transaction() as connection:
        await oncall.lock(connection)
        areas, logins = await _known(connection, loaded)
        channels = await oncall.put_channels(connection, [_channel(entry, areas) for entry in file.channels])
        await oncall.put_reach(connection, [_reach(entry, logins, channels) for entry in file.people])
        await oncall.put_schedules(connection, {s.name: msgspec.to_builtins(s) for s in file.schedules})
        await oncall.put_policies(connection, [_policy(entry, areas) for entry in file.policies])
        await oncall.reroute(connection)
        await notify.announce(connection, await oncall.orphans(connection))
        counts = {field: len(getattr(file, field)) for field in NotifyFile.__struct_fields__}
        names = {field: sorted(getattr(e, "name", "") or e.login for e in getattr(file, field)) for field in counts}
        await people.audit(connection, None, by, "import notify", str(loaded.path.name), names)
    return counts


async def _known(connection: Connection, loaded: Loaded[NotifyFile]) -> tuple[dict[str, int], dict[str, int]]:
    """Ids of the areas and people that a file names. Raises ConfigError for those that are none, or not one alone."""
    file = loaded.value
    found = await oncall.find_areas(connection, {e.area for e in file.channels} | {e.area for e in file.policies})
    logins = await oncall.find_people(connection, {login for _, login in _logins(file)})
    problems = []
    for field in ("channels", "policies"):
        for i, entry in enumerate(getattr(file, field)):
            count = len(found.get(entry.area, ()))
            if count != 1:
                said = f"there is no area {entry.area!r}" if not count else f"{count} areas are called {entry.area!r}"
                hint = "name an estate, community or street as the console does; each name once"
                problems.append(Problem((field, i, "area"), said, hint))
    problems += [
        Problem(where, f"there is no person {login!r}", "`anju-cloud user list` shows who there is")
        for where, login in _logins(file)
        if login not in logins
    ]
    loaded.raise_for(problems)
    return {name: ids[0] for name, ids in found.items()}, logins


def _logins(file: NotifyFile) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every login in a file, and where it stands."""
    for i, person in enumerate(file.people):
        yield ("people", i, "login"), person.login
    for i, schedule in enumerate(file.schedules):
        for j, rotation in enumerate(schedule.rotations):
            for k, login in enumerate(rotation.people):
                yield ("schedules", i, "rotations", j, "people", k), login
        for j, override in enumerate(schedule.overrides):
            yield ("schedules", i, "overrides", j, "person"), override.person
    for i, policy in enumerate(file.policies):
        for j, step in enumerate(policy.steps):
            for k, target in enumerate(step.tell):
                if target.person:
                    yield ("policies", i, "steps", j, "tell", k, "person"), target.person


def _problems(file: NotifyFile, check: CheckChannel) -> Iterator[Problem]:
    """What is wrong within the file, beyond the form of its fields."""
    for field, key in (("channels", "name"), ("people", "login"), ("schedules", "name"), ("policies", "name")):
        yield from _twice(field, key, getattr(file, field))
    for i, channel in enumerate(file.channels):
        if is_bad(channel, getattr(channel, "kind", None), getattr(channel, "config", None)):
            continue
        try:
            check(channel.kind, channel.config)
        except ConfigError as e:
            yield from (Problem(("channels", i), mistake.problem, mistake.hint) for mistake in e.mistakes)
    for i, schedule in enumerate(file.schedules):
        if not is_bad(schedule) and _is_whole(schedule):
            yield from (Problem(("schedules", i), f"{schedule.name}: {said}") for said in schedule_problems(schedule))
    channels = {c.name for c in file.channels if not is_bad(c, getattr(c, "name", None))}
    schedules = {s.name for s in file.schedules if not is_bad(s, getattr(s, "name", None))}
    for i, person in enumerate(file.people):
        for j, name in enumerate(() if is_bad(person) else person.channels):
            if not is_bad(name) and name not in channels:
                yield _unknown(("people", i, "channels", j), "channel", name, channels)
    for i, policy in enumerate(file.policies):
        if not is_bad(policy, getattr(policy, "steps", None)) and not 1 <= len(policy.steps) <= _MOST_STEPS:
            yield Problem(("policies", i), f"it has {len(policy.steps)} steps", f"give it 1 to {_MOST_STEPS}")
        for j, step in enumerate(() if is_bad(policy) else policy.steps):
            if not is_bad(step, getattr(step, "tell", None)) and not 1 <= len(step.tell) <= _MOST_TOLD:
                yield Problem(("policies", i, "steps", j), "it tells nobody, or too many", f"name 1 to {_MOST_TOLD}")
            for k, target in enumerate(() if is_bad(step) else step.tell):
                yield from _target_problems(("policies", i, "steps", j, "tell", k), target, channels, schedules)


def _target_problems(
    where: tuple[str | int, ...], target: Any, channels: Iterable[str], schedules: Iterable[str]
) -> Iterator[Problem]:
    if is_bad(target, *(getattr(target, field, None) for field in ("person", "schedule", "role", "level", "channel"))):
        return
    if not target.is_one:
        hint = "for example {schedule: 门岗}, {role: manager}, {role: supervisor, level: street} or {channel: 门岗群}"
        yield Problem(where, "says not exactly one of person, schedule, role and channel", hint)
    if target.channel and target.channel not in channels:
        yield _unknown((*where, "channel"), "channel", target.channel, channels)
    if target.schedule and target.schedule not in schedules:
        yield _unknown((*where, "schedule"), "schedule", target.schedule, schedules)


def _unknown(where: tuple[str | int, ...], what: str, name: str, known: Iterable[str]) -> Problem:
    near = nearest(name, known)
    hint = f"did you mean {near[0]!r}?" if near else f"add it under {what}s, or correct the name"
    return Problem(where, f"there is no {what} {name!r} in this file", hint)


def _twice(field: str, key: str, entries: Iterable[Any]) -> Iterator[Problem]:
    seen = set()
    for i, entry in enumerate(entries):
        name = None if is_bad(entry) else getattr(entry, key)
        if name is None or is_bad(name):
            continue
        if name in seen:
            yield Problem((field, i, key), f"{name!r} stands twice under {field}")
        seen.add(name)


def _is_whole(schedule: Schedule) -> bool:
    """Whether every part of a schedule could be read; its own checks have nothing to say before."""
    parts: list[Any] = [schedule.zone, *schedule.holidays, *schedule.rotations, *schedule.overrides]
    if is_bad(schedule.rotations, schedule.overrides, schedule.holidays, *parts):
        return False
    moments = [rotation.start for rotation in schedule.rotations]
    moments += [text for override in schedule.overrides for text in (override.start, override.end)]
    return not is_bad(*moments)


def _channel(entry: ChannelEntry, areas: Mapping[str, int]) -> NewChannel:
    personal = entry.kind in PERSONAL_KINDS if entry.personal is None else entry.personal
    return NewChannel(
        name=entry.name, kind=entry.kind, area=areas[entry.area], config=entry.config, language=entry.language,
        personal=personal,
    )  # fmt: skip


def _reach(entry: PersonEntry, logins: Mapping[str, int], channels: Mapping[str, int]) -> Reach:
    ways = tuple(channels[name] for name in entry.channels)
    return Reach(person=logins[entry.login], email=entry.email, mobile=entry.mobile, channels=ways)


def _policy(entry: PolicyEntry, areas: Mapping[str, int]) -> NewPolicy:
    return NewPolicy(
        name=entry.name, area=areas[entry.area], priorities=tuple(entry.priorities),
        steps=[msgspec.to_builtins(step) for step in entry.steps],
        repeat_every_s=entry.repeat.every_s if entry.repeat else 0,
        repeat_times=entry.repeat.times if entry.repeat else 0,
    )  # fmt: skip
