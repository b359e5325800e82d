"""What a benchmark says: a figure with its unit, its limit where it has one, and the rival measured in the same run."""

from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure. `most` or `least` is its limit; `rival` is what was measured beside it, `rival_value` in its unit.

    Where the value is a ratio, ours over the rival's, `note` has both in absolute numbers.
    """

    name: str
    value: float
    unit: str
    note: str = ""
    most: float | None = None
    least: float | None = None
    rival: str | None = None
    rival_value: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it is beyond its limit."""
        return (self.most is not None and self.value > self.most) or (
            self.least is not None and self.value < self.least
        )

    @property
    def limit(self) -> str:
        """The limit as people write it; empty where there is none."""
        if self.most is not None:
            return f"≤ {self.most:g}"
        return "" if self.least is None else f"≥ {self.least:g}"

    def as_json(self) -> dict[str, Any]:
        """For build/bench.json."""
        return {
            "value": _rounded(self.value),
            "unit": self.unit,
            "rival": self.rival,
            "rival_value": None if self.rival_value is None else _rounded(self.rival_value),
            "limit": self.least if self.most is None else self.most,
            "limit_is": None if not self.limit else "least" if self.most is None else "most",
            "is_missed": self.missed,
            "note": self.note,
        }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def spread(values: list[float], unit: str = "") -> str:
    """Median, least and most of several rounds, for a note."""
    return f"{median(values):.3g}{unit} ({min(values):.3g} to {max(values):.3g} in {len(values)} rounds)"


def percentile(values: list[float], p: float) -> float:
    """The smallest value that at least p percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100).__trunc__() - 1)]
