"""Named queries from `queries/*.sql`: each begins with `-- name: what_it_is` and a line on what it is for."""

import re
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(file: str) -> dict[str, str]:
    """The queries of `queries/<file>.sql` by name. Raises ValueError when a name stands twice."""
    text = (Path(__file__).parent / "queries" / f"{file}.sql").read_text(encoding="utf-8")
    queries: dict[str, str] = {}
    for name, body in _split(text):
        if name in queries:
            raise ValueError(f"{file}.sql names {name} twice")
        queries[name] = body
    return queries


def _split(text: str) -> Iterator[tuple[str, str]]:
    _, *parts = _NAME.split(text)
    return zip(parts[::2], (body.strip() for body in parts[1::2]), strict=True)
