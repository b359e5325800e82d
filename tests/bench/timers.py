"""10,000 pending delays that run out within a minute, over three processes of which one is killed five times.

The error is from the moment at which a delay has run out to that at which people are told, on the database's clock; a
delay that was missed, or told twice, is no figure but a mistake. A guard acknowledges one alarm after the other
meanwhile.
"""

import asyncio
from pathlib import Path

from simulators.postgres import EmbeddedPostgres
from tests.bench.figures import Figure, percentile
from tests.support.timer_processes import PROCESSES, Fired, fire

PENDING, SPAN_S, KILLS = 10_000, 60.0, 5


async def timers(folder: Path) -> list[Figure]:
    """The greatest error of all, and how long the guard waited."""
    server = EmbeddedPostgres(folder / "postgres")
    await asyncio.to_thread(server.start)
    try:
        fired = await fire(server.url, PENDING, SPAN_S, KILLS)
    finally:
        await asyncio.to_thread(server.stop)
    _check(fired)
    errors, waits = fired.errors_s, fired.acknowledged_s
    return [
        Figure(
            name="alarms.timer_error_p100_s", value=max(errors), unit="s", most=1.0,
            note=f"{PENDING} delays over {SPAN_S:.0f} s, {PROCESSES} processes, one killed {KILLS} times: none missed,"
            f" none twice; p50 {percentile(errors, 50):.3f} s, p99 {percentile(errors, 99):.3f} s",
        ),
        Figure(
            name="alarms.acknowledge_p99_ms", value=percentile(waits, 99) * 1000, unit="ms", most=50.0,
            note=f"beside them, {len(waits)} acknowledgements; p50 {percentile(waits, 50) * 1000:.1f} ms, most"
            f" {max(waits) * 1000:.0f} ms",
        ),
    ]  # fmt: skip


def _check(fired: Fired) -> None:
    if fired.missed or not fired.told == fired.raises == fired.alarms == fired.pending:
        raise AssertionError(f"not each once: {fired.missed} missed, {fired.told} told of {fired.pending}")
