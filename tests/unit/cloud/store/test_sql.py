"""Every query has a name, a reason and a user; every name that is asked for is there."""

import re
from itertools import takewhile
from pathlib import Path
from typing import get_args

import pytest

from cloud import store
from cloud.store import sql
from cloud.store.retention import Rows

FOLDER = Path(store.__file__).parent
FILES = sorted(path.stem for path in (FOLDER / "queries").glob("*.sql"))
USES = {
    path: (re.findall(r'load_queries\("(\w+)"\)', text), set(re.findall(r'_SQL\[f?"([\w{}]+)"\]', text)))
    for path in sorted(FOLDER.glob("*.py"))
    if "_SQL = " in (text := path.read_text(encoding="utf-8"))
}
WAYS = {
    "seal_{stream}": {"seal_urgent", "seal_bulk"},
    "oldest_{rows}": {f"oldest_{rows}" for rows in get_args(Rows)},
    "delete_{rows}": {f"delete_{rows}" for rows in get_args(Rows)},
}
"""Names that are put together, and what they may become."""


def asked_of(file: str) -> set[str]:
    """The names that the store's modules ask a query file for."""
    names: set[str] = set()
    for files, used in USES.values():
        if file in files:
            for name in used:
                names |= WAYS.get(name, {name})
    return names


def test_each_module_loads_one_file_and_each_file_is_loaded() -> None:
    assert all(len(files) == 1 for files, _ in USES.values())
    assert {files[0] for files, _ in USES.values()} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_what_is_asked_for_is_there_and_what_is_there_is_asked_for(file: str) -> None:
    assert asked_of(file) == sql.load_queries(file).keys()


@pytest.mark.parametrize("file", FILES)
def test_each_query_says_what_it_is_for(file: str) -> None:
    for name, text in sql.load_queries(file).items():
        lines = text.splitlines()
        said = list(takewhile(lambda line: line.startswith("--"), lines))
        promise = " ".join(line.removeprefix("-- ") for line in said)
        assert re.match(r"[A-Z].*[.?]", promise), f"{file}.{name} does not say what it is for"
        assert lines[len(said) :], f"{file}.{name} is empty"


def test_arguments_are_counted_without_gaps() -> None:
    for file in FILES:
        for name, text in sql.load_queries(file).items():
            numbers = {int(number) for number in re.findall(r"\$(\d+)", text)}
            assert numbers == set(range(1, len(numbers) + 1)), f"{file}.{name}"


def test_a_name_stands_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "x.sql").write_text("-- name: a\nSELECT 1\n\n-- name: b\nSELECT 2\n")
    monkeypatch.setattr(sql, "__file__", str(tmp_path / "sql.py"))
    assert sql.load_queries("x") == {"a": "SELECT 1", "b": "SELECT 2"}
    (tmp_path / "queries" / "x.sql").write_text("-- name: a\nSELECT 1\n\n-- name: a\nSELECT 2\n")
    with pytest.raises(ValueError, match="names a twice"):
        sql.load_queries("x")
