"""Every version of every alarm rule (table `rule`). The newest counts; one without a body switches the rule off."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from cloud.store import people
from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries
from contract.errors import Permanent

_SQL = load_queries("rules")
SHIPPED_BY = "system"
TOPIC = "rules"
"""Whoever keeps the rules in force listens to this topic."""


class RuleVersion(msgspec.Struct, frozen=True):
    """A version of a rule, and who made it why; `body` is the rule as JSON has it, None: from here on there is none.

    `last_body` is that of the newest version that had one. Who made an origin of `pack` came with the software, or went
    back to what did.
    """

    name: str
    version: int
    origin: Literal["pack", "person"]
    body: dict[str, Any] | None
    person: int | None
    who: str
    why: str
    at: datetime
    last_body: dict[str, Any] | None


async def newest(connection: Connection) -> list[RuleVersion]:
    """The newest version of each rule, by name, of those that are switched off as well."""
    return rows_as(RuleVersion, await connection.fetch(_SQL["newest"]))


async def versions(connection: Connection, name: str) -> list[RuleVersion]:
    """All versions of a rule, the newest first; empty where there is no such rule."""
    return rows_as(RuleVersion, await connection.fetch(_SQL["versions"], name))


async def count(connection: Connection) -> int:
    """How many versions there are of all rules: whether anything has changed."""
    return int(await connection.fetchval(_SQL["count"]))


async def put(
    connection: Connection, name: str, body: Mapping[str, Any] | None, who: str, why: str,
    person: int | None = None, *, origin: Literal["pack", "person"] = "person", address: str = "",
) -> int:  # fmt: skip
    """A person's new version of a rule, None to switch it off, with a line in the audit log; returns its number.

    With the origin `pack` the rule follows what is shipped again. Check the rule before: here it is taken as it is.
    Raises Permanent for another form than it had: what is remembered of its sources would make no sense to that.
    """
    await connection.execute(_SQL["lock"])
    kept = None if body is None else dict(body)
    before = next((row.body for row in await versions(connection, name) if row.body is not None), None)
    if kept is not None and before is not None and _form(kept) != _form(before):
        problem = f"rule {name} is of the form {_form(before)} and stays so"
        raise Permanent(f"{problem}; give the new one another name, and switch this one off")
    version = int(await connection.fetchval(_SQL["put"], name, origin, kept, person, who, why))
    act = "switch rule off" if body is None else "change rule"
    detail = {"version": version, "origin": origin, "why": why}
    await people.audit(connection, person, who, act, f"rule {name}", detail, address)
    return version


def _form(body: Mapping[str, Any]) -> object:
    form = body.get("form")
    return form.get("form") if isinstance(form, Mapping) else form


async def sync_pack(connection: Connection, shipped: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Takes over what is shipped by now, as new versions; returns the names of the rules that have one.

    What a person has changed or switched off stays as they left it.
    """
    await connection.execute(_SQL["lock"])
    rows = await connection.fetch(
        _SQL["sync_pack"], list(shipped), [dict(body) for body in shipped.values()], SHIPPED_BY
    )
    return [row["name"] for row in rows]
