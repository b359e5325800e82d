"""What a benchmark says: a figure with its unit, its limit where it has one, and what it was measured beside."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One figure; `limit` is the most it may be."""

    name: str
    value: float
    unit: str
    note: str = ""
    limit: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it is beyond its limit."""
        return self.limit is not None and self.value > self.limit

    def as_json(self) -> dict[str, object]:
        """For build/bench.json."""
        return asdict(self)


def percentile(values: list[float], p: float) -> float:
    """The smallest value that at least p percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100).__trunc__() - 1)]
