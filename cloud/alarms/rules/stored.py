"""The rules in force: what the database holds of them, taken up by every process soon after it changes."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from cloud.alarms.rules.book import RuleBook
from cloud.alarms.rules.check import check_rule
from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import Rule, body_of, rule_of
from cloud.store import Connection, Database, rules
from contract.errors import AnjuError, Permanent, Retryable

log = structlog.get_logger()
EVERY_S = 5.0
"""How long a process judges by the rules as they were, after somebody changed them."""


class InForce(msgspec.Struct, frozen=True):
    """The rules that count, with their versions by name; `count` tells whether anything has changed since."""

    book: RuleBook
    versions: dict[str, int]
    count: int


async def sync_pack(connection: Connection) -> list[str]:
    """Takes over the shipped pack, but for what people changed; returns which rules have a new version."""
    return await rules.sync_pack(connection, {rule.name: body_of(rule) for rule in pack().rules})


async def in_force(connection: Connection) -> InForce:
    """The rules that count now. One that cannot be read is left out, which the log says, and stops no other."""
    count = await rules.count(connection)  # before them: what comes between is seen as a change the next time
    found: list[Rule] = []
    versions: dict[str, int] = {}
    for row in await rules.newest(connection):
        if row.body is None:
            continue
        try:
            rule = checked(row.body)
            if rule.name != row.name:
                raise Permanent(f"it calls itself {rule.name!r}")
        except AnjuError as e:
            log.warning("a rule of the database cannot be used", rule=row.name, version=row.version, problem=str(e))
            continue
        found.append(rule)
        versions[row.name] = row.version
    return InForce(RuleBook(found), versions, count)


def checked(body: dict[str, Any]) -> Rule:
    """The rule of a body. Raises Permanent with all that is wrong with it."""
    try:
        rule = rule_of(body)
    except (msgspec.ValidationError, KeyError, TypeError) as e:
        raise Permanent(f"it is no rule: {e}") from e
    if problems := check_rule(rule):
        raise Permanent("; ".join(problem.problem for problem in problems))
    return rule


async def follow(database: Database, take: Callable[[InForce], None], *, every_s: float = EVERY_S) -> None:
    """Hands over the rules in force at once, and anew each time they change, for ever."""
    count = -1
    while True:
        try:
            async with database.connect() as connection:
                if await rules.count(connection) != count:
                    now = await in_force(connection)
                    count = now.count
                    take(now)
        except Retryable as e:
            log.warning("cannot look whether the rules have changed", problem=str(e))
        await asyncio.sleep(every_s)
