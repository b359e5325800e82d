"""Who is on duty by schedules of the database, for stages that call whoever it is."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.notify.oncall import Schedule, on_duty
from cloud.store import Connection, oncall


async def people_on_duty(connection: Connection, names: Sequence[str], at: datetime) -> set[int]:
    """The people whom these schedules name at a moment; a schedule or login that is gone names nobody."""
    bodies = await oncall.schedules(connection)
    schedules = [msgspec.convert(bodies[name], Schedule) for name in names if name in bodies]
    logins = {login for schedule in schedules if (login := on_duty(schedule, at))}
    return set((await oncall.find_people(connection, logins)).values()) if logins else set()
