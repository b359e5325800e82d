"""The figures of alarm management for people: counted from the database, with the worst sources by their names."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from cloud.alarms.kpis import Figure, Kpis, Source, kpis_of
from cloud.store import Connection, kpis


async def report(
    connection: Connection, estates: Sequence[int], since: datetime, until: datetime, operators: int = 1
) -> Kpis:
    """The figures of these estates' alarms between two times, which `operators` people looked after.

    Raises AnjuError where there are too many alarms, ValueError for a period that is none.
    """
    facts = await kpis.facts(connection, estates, since, until)
    held = await kpis.holds(connection, estates, since, until)
    found = kpis_of(facts, held, since, until, operators)
    names = await kpis.names(connection, [source.source for source in (*found.top, *found.chattering)])
    return msgspec.structs.replace(found, top=_named(found.top, names), chattering=_named(found.chattering, names))


def _named(sources: Sequence[Source], names: dict[str, str]) -> tuple[Source, ...]:
    return tuple(msgspec.structs.replace(source, name=names.get(source.source, source.source)) for source in sources)


def rows_of(found: Kpis) -> Iterable[tuple[str, str, str, str, str]]:
    """The figures as text: name, value, unit, target, and whether it is met."""
    for figure in found.figures:
        met = {True: "inside", False: "OUTSIDE", None: "too few to say" if figure.target else ""}[figure.inside]
        yield figure.name, _said(figure), figure.unit, figure.target, met


def _said(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:,.3g}" if figure.value < 1000 else f"{figure.value:,.0f}"
