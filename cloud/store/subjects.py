"""What a condition is about, found again from the name of its source."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from cloud.store.alarms import Subject
from cloud.store.database import Connection
from cloud.store.sql import load_queries

_SQL = load_queries("subjects")


class Lies(NamedTuple):
    """Where an estate lies: the ids of the areas from the root down to it, and its time zone."""

    areas: tuple[int, ...]
    zone: str


class Point(NamedTuple):
    """What a series is of: what rules are chosen by."""

    kind: str
    point: str
    device: int
    areas: tuple[int, ...]


async def of_series(connection: Connection, series: Collection[int]) -> dict[int, Point]:
    """What these series are of."""
    rows = await connection.fetch(_SQL["of_series"], list(series))
    areas = {path: _ids(path) for path in {row["path"] for row in rows}}
    return {row["series"]: Point(row["kind"], row["point"], row["device"], areas[row["path"]]) for row in rows}


async def of_sources(connection: Connection, sources: Iterable[str]) -> dict[str, Subject]:
    """What these sources are about; those whose device or box is gone are missing."""
    rows = await connection.fetch(_SQL["of_sources"], list(set(sources)))
    return {
        row["source"]: Subject(
            source=row["source"], kind=row["kind"], point=row["point"], estate=row["estate"],
            areas=_ids(row["path"]), zone=row["zone"], gateway=row["gateway"], device=row["device"],
            series=row["series"],
        )
        for row in rows
    }  # fmt: skip


async def estates(connection: Connection, ids: Collection[int]) -> dict[int, Lies]:
    """Where these estates lie."""
    rows = await connection.fetch(_SQL["estates"], list(ids))
    return {row["id"]: Lies(_ids(row["path"]), row["zone"]) for row in rows}


def _ids(path: str) -> tuple[int, ...]:
    return tuple(int(part) for part in path.split("/") if part)
