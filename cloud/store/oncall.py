"""Who is told of what, as it was imported: channels, how people are reached, on-call schedules, escalation policies."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("oncall")
_IMPORT = 0x4E4F54494659  # "NOTIFY"


class NewChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as it is imported. `config` is for cloud/notify/channels; secrets are references in it."""

    name: str
    kind: str
    area: int
    config: dict[str, Any]
    language: str
    personal: bool


class ChannelRow(msgspec.Struct, frozen=True):
    """A channel in use."""

    id: int
    name: str
    kind: str
    config: dict[str, Any]
    language: str
    personal: bool
    """It reaches one person alone, so that links in their name may go through it."""
    paused_until: datetime | None
    pause_why: str


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How a person is reached: addresses for channels that need them, and channels in their order."""

    person: int
    email: str
    mobile: str
    channels: tuple[int, ...]


class NewPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """An escalation policy as it is imported; `steps` are cloud/notify/policy.py's, as JSON."""

    name: str
    area: int
    priorities: tuple[str, ...]
    steps: list[dict[str, Any]]
    repeat_every_s: int
    repeat_times: int


class PolicyRow(msgspec.Struct, frozen=True):
    """An escalation policy."""

    id: int
    name: str
    area: str
    priorities: list[str]
    steps: list[dict[str, Any]]
    repeat_every_s: int
    repeat_times: int


class ReachedRow(msgspec.Struct, frozen=True):
    """By which channels a person is reached."""

    login: str
    name: str
    id: int
    channels: list[str]


class Contact(msgspec.Struct, frozen=True):
    """What a channel needs to reach or mention a person. `language` is empty where they chose none."""

    id: int
    name: str
    language: str
    email: str
    mobile: str


async def lock(connection: Connection) -> None:
    """Nobody else imports until the transaction ends."""
    await connection.execute(_SQL["lock"], _IMPORT)


async def find_areas(connection: Connection, names: Collection[str]) -> dict[str, list[int]]:
    """The ids of the areas of each name that there is."""
    return {row["name"]: row["ids"] for row in await connection.fetch(_SQL["find_areas"], list(names))}


async def find_people(connection: Connection, logins: Collection[str]) -> dict[str, int]:
    """The ids of the people of these logins."""
    return {row["login"]: row["id"] for row in await connection.fetch(_SQL["find_people"], list(logins))}


async def put_channels(connection: Connection, new: Sequence[NewChannel]) -> dict[str, int]:
    """These channels and no others from now on; returns their ids by name."""
    rows = await connection.fetch(
        _SQL["put_channels"], [c.name for c in new], [c.kind for c in new], [c.area for c in new],
        [c.config for c in new], [c.language for c in new], [c.personal for c in new],
    )  # fmt: skip
    return {row["name"]: row["id"] for row in rows}


async def put_reach(connection: Connection, reach: Sequence[Reach]) -> None:
    """How these people are reached, and nobody else."""
    await connection.execute(
        _SQL["put_contacts"], [r.person for r in reach], [r.email for r in reach], [r.mobile for r in reach]
    )
    ways = [(r.person, place, channel) for r in reach for place, channel in enumerate(r.channels)]
    await connection.execute(_SQL["clear_person_channels"])
    await connection.execute(_SQL["put_person_channels"], *([way[i] for way in ways] for i in range(3)))


async def put_schedules(connection: Connection, bodies: Mapping[str, object]) -> None:
    """These schedules and no others from now on."""
    await connection.execute(_SQL["put_schedules"], list(bodies), list(bodies.values()))


async def put_policies(connection: Connection, new: Sequence[NewPolicy]) -> None:
    """These policies and no others from now on."""
    await connection.execute(
        _SQL["put_policies"], [p.name for p in new], [p.area for p in new], [" ".join(p.priorities) for p in new],
        [msgspec.json.encode(p.steps).decode() for p in new],  # an array of lists would be one of two dimensions
        [p.repeat_every_s for p in new], [p.repeat_times for p in new],
    )  # fmt: skip


async def orphans(connection: Connection) -> list[UUID]:
    """Alarms of which somebody was still to be told, by a policy that is no more: announce them again."""
    return [row["alarm"] for row in await connection.fetch(_SQL["orphans"])]


async def reroute(connection: Connection) -> None:
    """What waits for channels that are no more goes by others of its people, or is refused."""
    await connection.execute(_SQL["reroute"])
    await connection.execute(_SQL["strand"])


async def channels(connection: Connection) -> list[ChannelRow]:
    """The channels in use, by name."""
    return rows_as(ChannelRow, await connection.fetch(_SQL["channels"]))


async def schedules(connection: Connection) -> dict[str, dict[str, Any]]:
    """All on-call schedules by name, as JSON of cloud/notify/oncall.py."""
    return {row["name"]: row["body"] for row in await connection.fetch(_SQL["schedules"])}


async def policies(connection: Connection, ids: Collection[int] | None = None) -> list[PolicyRow]:
    """Escalation policies, all or those of these ids."""
    return rows_as(PolicyRow, await connection.fetch(_SQL["policies"], None if ids is None else list(ids)))


async def reached(connection: Connection) -> list[ReachedRow]:
    """Who is reached by what."""
    return rows_as(ReachedRow, await connection.fetch(_SQL["reached"]))


async def holders(
    connection: Connection, wanted: Collection[tuple[str, str, int]]
) -> dict[tuple[str, str, int], list[int]]:
    """The people of each (role, level or '', estate); a level asks for grants at nodes of that level alone."""
    asked = list(wanted)
    found: dict[tuple[str, str, int], list[int]] = {}
    for row in await connection.fetch(_SQL["holders"], *([part[i] for part in asked] for i in range(3))):
        people = found.setdefault((row["role"], row["level"], row["estate"]), [])
        if row["person"] not in people:
            people.append(row["person"])
    return found


async def contacts(connection: Connection, people: Collection[int]) -> dict[int, Contact]:
    """What is known of these people to reach them."""
    return {contact.id: contact for contact in rows_as(Contact, await connection.fetch(_SQL["contacts"], list(people)))}
