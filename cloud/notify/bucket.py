"""When the next request may go to a channel. Pure: what was sent of late comes from the database, as does the time.

A service counts requests as they arrive, we when they are made and when they are answered; one arrives somewhere in
between. So a token is taken when a request is made, and comes back a minute after its *answer*: then no minute of the
service's own can hold more than its rate, whatever the network does.

Half of the bucket is for what just happened. After that the tokens are spread over the minute, so that the twenty-first
alarm waits seconds and takes others with it, rather than the rest of a minute. A fifth is kept for what is critical or
high.
"""

from collections.abc import Sequence
from datetime import datetime

from cloud.notify.channel import Limits

MINUTE_S = 60.0
SOON_S = 0.05
"""When to look again where it depends on an answer that is still to come."""


def wait_s(
    ends: Sequence[datetime | None],
    now: datetime,
    limits: Limits,
    *,
    urgent: bool,
    full: bool,
    minute_s: float = MINUTE_S,
) -> float:
    """How long a request has to wait, 0.0: not at all.

    `ends`: when requests of the last minutes were answered; None: not yet. `urgent`: it brings something critical or
    high. `full`: it is as much as the channel takes at once, so that waiting gathers nothing. `minute_s` is shorter in
    tests, whose services count in shorter minutes too.
    """  # fmt: skip
    ages = sorted(0.0 if end is None else max(0.0, (now - end).total_seconds()) for end in ends)
    open_ = sum(end is None for end in ends)
    counted = [age for age in ages if age <= minute_s]
    rate = max(1, limits.rate_per_min)
    most = rate if urgent else rate - rate // 5
    waits = [_until(counted, most, minute_s, open_)]
    if limits.rate_per_s:
        second_s = minute_s / 60
        waits.append(_until([age for age in ages if age <= second_s], limits.rate_per_s, second_s, open_))
    if counted and len(counted) >= max(1, rate // 2):
        gap_s = minute_s / rate * (1 if urgent or full else 2)
        waits.append(_until(counted[:1], 1, gap_s, open_))
    return max(waits)


def _until(ages: Sequence[float], most: int, span_s: float, open_: int) -> float:
    """How long until fewer than `most` of these ages (ascending) are within the span."""
    if len(ages) < most:
        return 0.0
    if open_ >= most:
        return SOON_S
    left = span_s - ages[most - 1]
    return max(left, 0.001) if ages[most - 1] <= span_s else 0.0
