"""Which devices are heard, as the page says it: by what it said last, and by whether its bus still carries it. Pure.

What was on line when its bus was lost (a radio pulled out, a broker away) is neither on line nor off line: nobody can
say, and the page must not until its own limit has passed. Its link, which the cloud goes by, waits for that limit, so
that no radio that is back in a second makes an alarm of it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from edge.counts import BusCounts
from edge.health.status import PointError
from edge.health.tally import Tally


class Links(msgspec.Struct, frozen=True):
    """Devices by what is known of them, and why what cannot be read cannot."""

    online: list[str]
    offline: list[str]
    unknown: list[str]
    errors: list[PointError]


def links_of(tally: Tally, buses: Iterable[BusCounts], bus_of: Mapping[str, str]) -> Links:
    """How the devices are; `bus_of` names each device's bus."""
    lost = {bus.bus: why_lost(bus) for bus in buses if not bus.connected}
    online = tally.devices("online")
    unheard = {device: lost[bus_of[device]] for device in online if bus_of.get(device) in lost}
    return Links(
        online=[device for device in online if device not in unheard],
        offline=tally.devices("offline"),
        unknown=[*tally.devices(None), *unheard],
        errors=[*(PointError(device, "link", why) for device, why in unheard.items()), *tally.errors],
    )


def why_lost(bus: BusCounts) -> str:
    """Why nothing of a bus is heard."""
    return f"its bus is lost: {bus.why or 'not connected yet'}"
