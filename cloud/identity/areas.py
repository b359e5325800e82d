"""Estates, as people name them when they administer the cloud."""

from cloud.store import Connection, people, storable
from contract.errors import AnjuError

TIMEZONE = "Asia/Shanghai"


async def estate_id(connection: Connection, estate: int | str, by: str) -> int:
    """The id of an estate that is named, made (and audited) where there is none of that name; an id is itself."""
    if isinstance(estate, int):
        return estate
    name = storable(estate.strip(), 200)
    if not name:
        raise AnjuError("an estate needs a name")
    made = await people.make_area(connection, None, "estate", name, TIMEZONE)
    if made is None:
        return await people.put_area(connection, None, "estate", name, TIMEZONE)
    await people.audit(connection, None, by, "make estate", f"area {made}", {"name": name})
    return made
