"""Brings plans from files into the database, checked against what their estate has."""

from pathlib import Path

import msgspec

from cloud.incidents.incidents import Actor
from cloud.incidents.plan import Known, Plan, check
from cloud.store import Connection, oncall, people, plans
from contract.config import load_file


async def import_plan(connection: Connection, path: Path, estate: int, by: Actor) -> tuple[str, int]:
    """A new version of the plan of a file; returns its name and the version. Raises ConfigError with every mistake."""
    loaded = load_file(path, Plan)
    plan = loaded.value
    loaded.raise_for(check(plan, await _known(connection, plan, estate)))
    version = await plans.put_plan(connection, estate, plan.name, msgspec.to_builtins(plan), by.person, by.who)
    detail = {"estate": estate, "version": version}
    await people.audit(connection, by.person, by.who, "import plan", f"plan {plan.name}", detail, by.address)
    return plan.name, version


async def _known(connection: Connection, plan: Plan, estate: int) -> Known:
    devices = await plans.known_devices(connection, estate, plan.devices)
    return Known(
        devices={device.id: (device.kind, frozenset(device.commands)) for device in devices},
        people=frozenset(await plans.known_people(connection, plan.call.people)),
        schedules=frozenset(await oncall.schedules(connection)),
        channels=frozenset(await plans.known_channels(connection, estate)),
    )
