"""Prometheus' text format, as much of it as a box needs.

The client library of Prometheus brings an HTTP server, a registry and 3 MB into a process that only writes such lines.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LABEL_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Family:
    """A metric with its series: one of no label where it is made with a value, else one for each `add`."""

    def __init__(
        self,
        kind: Literal["counter", "gauge", "summary"],
        name: str,
        text: str,
        value: float | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self._kind, self._name, self._text, self._labels = kind, name, text, labels
        self._lines: list[str] = []
        if value is not None:
            self.add((), value)

    def add(self, labels: Sequence[str], value: float, total: float | None = None) -> None:
        """A series by the values of its labels. For a summary `value` is its count and `total` its sum."""
        pairs = (f'{name}="{word.translate(_LABEL_ESCAPES)}"' for name, word in zip(self._labels, labels, strict=True))
        series = f"{{{','.join(pairs)}}}" if labels else ""
        if total is None:
            self._lines.append(f"{self._name}{series} {_number(value)}")
        else:
            self._lines.append(f"{self._name}_count{series} {_number(value)}")
            self._lines.append(f"{self._name}_sum{series} {_number(total)}")

    def lines(self) -> list[str]:
        """What it is for, its kind, and its series."""
        text = self._text.translate(_HELP_ESCAPES)
        return [f"# HELP {self._name} {text}", f"# TYPE {self._name} {self._kind}", *self._lines]


def gauge(name: str, text: str, value: float | None = None, labels: Sequence[str] = ()) -> Family:
    """A value that goes up and down."""
    return Family("gauge", name, text, value, labels)


def counter(name: str, text: str, value: float | None = None, labels: Sequence[str] = ()) -> Family:
    """A count since the process started; `_total` is added to its name."""
    return Family("counter", f"{name}_total", text, value, labels)


def summary(name: str, text: str, labels: Sequence[str]) -> Family:
    """How often, and how much in all."""
    return Family("summary", name, text, None, labels)


def render(families: Iterable[Family]) -> str:
    """The page that Prometheus reads."""
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _number(value: float) -> str:
    text = repr(float(value))
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text, text)
