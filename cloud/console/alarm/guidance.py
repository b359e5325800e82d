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
    "silent": Guidance(
        N_("The device says nothing any more. If something happened there now, it would not report it."),
        (
            N_("Watch this place by other means: send somebody to look, and watch the fire-alarm panel."),
            N_("Check its power and wiring; where several are silent at once, check their bus and the gateway."),
            N_("It does not come back: call maintenance, and keep up the rounds until it does."),
        ),
    ),
    "fault": Guidance(
        N_("The device reports a fault of its own. What it says may be wrong, or missing."),
        (
            N_("Watch this place by other means until it is repaired."),
            N_("Look at the device on site: dirt, battery, loose wires, water."),
            N_("Call maintenance to repair or replace it."),
        ),
    ),
    "tamper": Guidance(
        N_("Somebody has opened the device, or taken it off."),
        (
            N_("Send somebody there now, and see who is at the device."),
            N_("Maintenance at work: have it confirmed. Nobody you know: call the security captain, keep recordings."),
            N_("Put cover and device back in place; the alarm then returns by itself."),
        ),
    ),
    "held_open": Guidance(
        N_("The door has been open for longer than it should be."),
        (
            N_("Send somebody to see whether things are being moved, and what holds the door open."),
            N_("Close the door, and see that it locks."),
            N_("The door is closed, and it is still reported: call maintenance to look at the door contact."),
        ),
    ),
}
OTHER = Guidance(
    N_("The device reports a state that wants a person."),
    (N_("Send somebody there, or call the household."), N_("Acknowledge once somebody is on it.")),
)
