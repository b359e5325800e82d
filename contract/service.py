"""What every long-running process of ours does alike: log in one form, tell systemd how it is, stop when asked."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import structlog

WATCHDOG_PARTS = 3
"""A process says it is alive this many times within systemd's watchdog interval."""


def configure_logging(environment: Mapping[str, str] = os.environ) -> None:
    """Logs to stderr: coloured lines on a terminal, plain ones elsewhere, JSON where ANJU_LOG_JSON is set."""
    level = logging.getLevelNamesMapping().get(environment.get("ANJU_LOG_LEVEL", "INFO").upper(), logging.INFO)
    as_json = environment.get("ANJU_LOG_JSON", "") not in {"", "0"}
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if not as_json:
        # A plain traceback: structlog's own choice, rich, would also print every local variable, secrets among them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), format="%(levelname)s %(name)s: %(message)s")


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Tells systemd about this process (`READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`); silent without systemd.

    Never waits and raises nothing: a process does its work whether or not systemd listens.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # What is not heard is said again a third of the watchdog's interval later.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.sendto(state.encode(), address)


async def keep_watchdog(environment: Mapping[str, str] = os.environ) -> None:
    """Says WATCHDOG=1 as often as systemd wants it, for ever; returns at once where no watchdog is set.

    It runs on the event loop, so a loop that hangs is a process that systemd restarts.
    """
    interval_us = int(environment.get("WATCHDOG_USEC", "0"))
    if not interval_us:
        return
    while True:
        notify("WATCHDOG=1", environment)
        await asyncio.sleep(interval_us / 1e6 / WATCHDOG_PARTS)


class Hangups:
    """Yields each time the process is asked to look at its configuration again (SIGHUP); several at once are one.

    It listens from when it is made until the process ends: asked while nobody waits, a process must not die of it.
    """

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        await self._asked.wait()
        self._asked.clear()


async def until_stopped() -> None:
    """Returns when the process is asked to stop (SIGTERM or SIGINT)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
