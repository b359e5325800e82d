"""What support and scripts ask of an estate: its newest alarms, commands and readings as lines of JSON."""

import msgspec

from cloud.store.database import Connection
from cloud.store.sql import load_queries
from contract.errors import AnjuError

_SQL = load_queries("reports")


async def history(connection: Connection, estate: str, limit: int) -> list[bytes]:
    """Lines of JSON, each with `what` it is: alarm (with its transitions), command, reading; the newest first.

    Raises AnjuError when there is no such estate.
    """
    area = await connection.fetchval(_SQL["estate"], estate)
    if area is None:
        raise AnjuError(f"there is no estate {estate!r}")
    alarms = [dict(row) for row in await connection.fetch(_SQL["recent"], area, limit)]
    transitions = [dict(row) for row in await connection.fetch(_SQL["transitions"], [alarm["id"] for alarm in alarms])]
    lines: list[dict[str, object]] = [
        {"what": "alarm", **alarm, "transitions": [step for step in transitions if step["alarm"] == alarm["id"]]}
        for alarm in alarms
    ]
    lines += [{"what": "command", **dict(row)} for row in await connection.fetch(_SQL["commands"], area, limit)]
    lines += [{"what": "reading", **dict(row)} for row in await connection.fetch(_SQL["readings"], area)]
    return [msgspec.json.encode(line, enc_hook=str) for line in lines]
