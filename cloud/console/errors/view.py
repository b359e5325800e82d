"""Words of the error pages."""

import msgspec

from cloud.console.words import Voice


class Problem(msgspec.Struct, frozen=True):
    """What happened, and what to do; `again` where trying again may help."""

    title: str
    words: str
    again: bool = False


def problem(voice: Voice, status: int, detail: str = "") -> Problem:
    """The page for a status; `detail` tells a forged or outdated form from a role that is not enough."""
    t = voice.t
    if status == 403 and detail == "csrf":
        return Problem(
            t("This page was open for too long."),
            t("Nothing was done. Go back, reload the page, and press the button again."),
        )
    if status == 403:
        return Problem(
            t("Your role does not allow this."),
            t("Nothing was done. Ask the operator on duty to do it, or your property manager for the right."),
        )
    if status == 404:
        return Problem(
            t("This is not here."),
            t("It may have been removed, or it lies outside the areas you look after. Start again from the alarms."),
        )
    if status < 500:
        return Problem(
            t("The console did not understand this."),
            t("Nothing was done. Go back and try again; if it stays, tell the administrator the address above."),
        )
    return Problem(
        t("The console has a fault."),
        t(
            "Alarms are still taken in, and the gateways keep what they have. Try again in a minute; if it stays, "
            "call the administrator and watch the fire-alarm panel meanwhile."
        ),
        again=True,
    )
