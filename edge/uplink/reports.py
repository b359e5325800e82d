"""Which beats of a session bring a report: the first, one when something of weight changed, and one each hour."""

from collections.abc import Callable
from typing import Final

from contract.clock import mono_ns
from contract.session import GatewayReport

REPORT_EVERY_S: Final = 3600.0
"""How often the box reports how it is; sooner when something of weight changed."""


class Reports:
    """The reports of one session. `make` says how the box is; without it there are none.

    `least_s`: seconds between two of them at least, however often something changes (a bus that comes and goes).
    """

    def __init__(self, make: Callable[[], GatewayReport] | None, least_s: float) -> None:
        self._make, self._least_s = make, least_s
        self._said: object = None
        self._said_ns: int | None = None
        self._is_refused = False

    def due(self) -> GatewayReport | None:
        """The report that the next beat shall bring, or None."""
        if self._make is None:
            return None
        since_s = None if self._said_ns is None else (mono_ns() - self._said_ns) / 1e9
        if since_s is not None and since_s < (REPORT_EVERY_S if self._is_refused else self._least_s):
            return None
        report = self._make()
        if since_s is not None and since_s < REPORT_EVERY_S and self._said == _weight(report):
            return None
        return report

    def said(self, report: GatewayReport) -> None:
        """The cloud has it."""
        self._said, self._said_ns, self._is_refused = _weight(report), mono_ns(), False

    def refused(self) -> None:
        """The cloud does not take what this box reports; it is tried again in an hour, whatever changes."""
        self._said_ns, self._is_refused = mono_ns(), True


def _weight(report: GatewayReport) -> object:
    """What of a report is news at once; the rest can wait for its hour."""
    is_spent = bool(report.budget_bytes) and report.month_bytes >= report.budget_bytes
    buses = tuple((bus.id, bus.is_up) for bus in report.buses)
    return (report.version, report.is_in_memory, is_spent, report.is_bulk_held, report.clock_source,
            report.is_identity_shared, bool(report.lost_items), buses)  # fmt: skip
