"""What all tests share: the fixtures, and under CI no test that is skipped or expected to fail.

A run in which no test was found fails by itself: pytest then exits with 5.
"""

import os

import pytest

pytest_plugins = ["tests.support.fixtures"]

CI = bool(os.environ.get("CI"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Under CI a skipped or expected failure is a failure: what was not checked must not look checked."""
    report = yield
    if CI and (report.skipped or hasattr(report, "wasxfail")):
        reason = getattr(report, "wasxfail", None) or report.longrepr
        report.__dict__.pop("wasxfail", None)
        report.outcome = "failed"
        report.longrepr = f"CI accepts no skipped or expected-to-fail test: {item.nodeid}: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    """The same for a whole module that skips itself."""
    report = yield
    if CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"CI accepts no skipped module: {collector.nodeid}: {report.longrepr}"
    return report
