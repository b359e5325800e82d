"""On what terms the box uses its way to the cloud: as it likes, or as one that is paid for by the byte."""

from typing import Final

import msgspec

from contract.session import BEAT_S, HEARTBEAT_S, METERED_BEAT_S, METERED_DOWN_S
from contract.site import Cloud

METERED_BULK_S: Final = 300.0
"""Between two requests of bulk on a metered link, so that a handful of readings does not carry a head each minute."""
METERED_REPORT_S: Final = 300.0
"""Between two reports on a metered link: one of a box with many buses is larger than thirty beats."""
MB: Final = 1_000_000
"""As those who sell mobile data count."""


class Terms(msgspec.Struct, frozen=True):
    """How often the box beats and is beaten at, how often bulk goes while there is little of it, and what it may cost.

    `report_least_s` lies between two reports of a session at least, whatever changes.
    `max_bytes_s` bounds bulk alone (None: nothing does), `month_bytes` is the budget of a month (0: there is none), of
    which a box that has nothing to tell needs `quiet_bytes_a_day`.
    """

    is_metered: bool = False
    beat_s: float = BEAT_S
    heartbeat_s: float = HEARTBEAT_S
    bulk_every_s: float = 0.0
    report_least_s: float = 0.0
    max_bytes_s: float | None = None
    month_bytes: int = 0
    quiet_bytes_a_day: int = 0


PLAIN: Final = Terms()


def terms_of(cloud: Cloud) -> Terms:
    """What the site file says of the link."""
    plain = Terms(
        max_bytes_s=None if cloud.max_kbit_s is None else cloud.max_kbit_s * 1000 / 8,
        month_bytes=(cloud.budget_mb_month or 0) * MB,
        quiet_bytes_a_day=cloud.quiet_mb_a_day * MB,
    )
    if not cloud.metered:
        return plain
    return msgspec.structs.replace(
        plain, is_metered=True, beat_s=METERED_BEAT_S, heartbeat_s=METERED_DOWN_S, bulk_every_s=METERED_BULK_S,
        report_least_s=METERED_REPORT_S,
    )  # fmt: skip
