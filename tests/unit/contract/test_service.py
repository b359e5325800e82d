"""What a process tells systemd, and that systemd can never hold it up or end it."""

import asyncio
import os
import socket
import subprocess
import sys
import threading

import pytest

from contract.service import keep_watchdog, notify


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def test_systemd_hears_it(listener):
    notify("READY=1", {"NOTIFY_SOCKET": listener.getsockname()})
    assert listener.recv(100) == b"READY=1"


def test_a_socket_that_is_gone_or_nonsense_ends_nothing(tmp_path):
    for address in (str(tmp_path / "gone"), "@" + "x" * 200, "/no/such/folder"):
        notify("WATCHDOG=1", {"NOTIFY_SOCKET": address})


def test_nobody_waits_for_a_systemd_that_does_not_read(listener):
    def say_much() -> None:
        for _ in range(5000):
            notify("WATCHDOG=1", {"NOTIFY_SOCKET": listener.getsockname()})

    thread = threading.Thread(target=say_much, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


async def test_the_watchdog_outlives_a_socket_that_goes(tmp_path):
    where = {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "3000"}
    task = asyncio.create_task(keep_watchdog(where))
    await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()


@pytest.mark.parametrize("as_json", ["", "1"])
def test_a_traceback_in_the_log_shows_no_local_variable(as_json):
    """A process of its own: what it configures lasts."""
    script = """
import structlog
from contract.service import configure_logging
configure_logging()
def open_session():
    password = "hunter" + str(1 + 1)
    raise KeyError("no such gate")
try:
    open_session()
except KeyError:
    structlog.get_logger().exception("it failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "ANJU_LOG_JSON": as_json}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "no such gate" in done.stderr
    assert "open_session" in done.stderr
    assert "hunter2" not in done.stderr
