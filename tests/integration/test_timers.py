"""What comes due over several processes that die: none missed, none twice, to the second (LESSONS 16)."""

from tests.bench.figures import percentile
from tests.support.servers import Database
from tests.support.timer_processes import fire

MOST_ERROR_S = 1.0
MOST_WAIT_S = 0.2
"""For an acknowledgement, on a machine that runs other tests; see alarms.timer_error_p100_s for a quiet one."""


async def test_lessons_16_delays_run_out_once_and_in_time_though_processes_are_killed(database_plain: Database) -> None:
    fired = await fire(database_plain.url, 2_000, 6.0, kills=5)
    assert (fired.missed, fired.alarms, fired.raises, fired.told) == (0, 2_000, 2_000, 2_000)
    assert min(fired.errors_s) >= 0
    assert max(fired.errors_s) < MOST_ERROR_S
    assert fired.acknowledged_s
    assert percentile(fired.acknowledged_s, 95) < MOST_WAIT_S
