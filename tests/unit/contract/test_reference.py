"""The list of a site file's fields is whole, and says of each what it is."""

from typing import Annotated

import msgspec
import pytest

from contract.reference import reference_text
from contract.schemas import SITE_REFERENCE
from contract.site.load import PROFILES_OF


class Undescribed(msgspec.Struct):
    """A part whose author forgot something."""

    port: int


class Part(msgspec.Struct):
    """A part of it."""

    ratio: Annotated[float, msgspec.Meta(gt=0, le=2.5)] = 1.0
    """How much of it."""


class Whole(msgspec.Struct):
    """All of it."""

    parts: list[Part]
    """Its parts,
    in order."""
    size: Annotated[int, msgspec.Meta(ge=8, le=1_000_000)] | None = None
    """How large it is."""


def test_each_map_has_a_table_and_each_field_a_line() -> None:
    lines = reference_text(Whole, "Wholes", "About wholes.").splitlines()
    assert "| `parts` | Its parts, in order. | a list of maps, see below | must be given |" in lines
    assert "| `size` | How large it is. | whole number from 8 to 1000000 | none |" in lines
    assert "## `parts[]`" in lines
    assert "| `ratio` | How much of it. | number above 0 to 2.5 | `1` |" in lines


def test_a_field_without_a_meaning_is_said() -> None:
    with pytest.raises(TypeError, match=r"Undescribed\.port has no docstring"):
        reference_text(Undescribed, "", "")


def test_the_committed_page_lists_every_map_of_the_site_file() -> None:
    page = SITE_REFERENCE.read_text(encoding="utf-8")
    headings = [line[4:-1] for line in page.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["estate", "cloud", "cloud.proxy"]
    for protocol in PROFILES_OF:
        assert any(heading == f"buses[] with protocol: {protocol}:" for heading in headings)
    assert len(set(headings)) == len(headings)
    assert headings[-1] == "guard_page"
