"""What an alarm means and what to do first, by rule. Read aloud to somebody who was asleep a minute ago."""

import msgspec

from cloud.console.i18n import N_


class Guidance(msgspec.Struct, frozen=True):
    """What the rule found, the steps in their order, and the telemetry point of the device that shows it best."""

    meaning: str
    steps: tuple[str, ...]
    curve: str = ""


GUIDANCE: dict[str, Guidance] = {
    "smoke": Guidance(
        N_("The smoke detector reports smoke."),
        (
            N_("Send somebody there now, or call the household, and stay on the line."),
            N_("Smoke or fire: call 119, then open the doors below for the people and the fire brigade."),
            N_("No smoke: look for cooking, dust or steam at the detector, and let it return by itself."),
        ),
        curve="obscuration",
    ),
}
OTHER = Guidance(
    N_("The device reports a state that wants a person."),
    (N_("Send somebody there, or call the household."), N_("Acknowledge once somebody is on it.")),
)
