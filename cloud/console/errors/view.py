"""Words of the error pages."""

import msgspec

from cloud.console.words import Voice

AGAIN_S = 5
"""How soon a page that could not be had tries again."""


class Problem(msgspec.Struct, frozen=True):
    """What happened, and what to do.

    `again` where trying again may help; `after_s` above 0 where the page does so by itself.
    """

    title: str
    words: str
    again: bool = False
    after_s: int = 0


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
            "Do not wait for alarms on this page: watch the fire-alarm panel. Try again in a minute; if it stays, "
            "call the administrator. The gateways keep what they have."
        ),
        again=True,
    )


def away(voice: Voice, *, looked: bool) -> Problem:
    """The page while the database cannot be had; `looked` where the person ordered nothing."""
    t = voice.t
    said = t(
        "No alarm reaches this page now. Watch the fire-alarm panel, and go on site where something may be wrong. "
        "The gateways keep what they have; this page tries again by itself."
    )
    if not looked:
        unsure = t("Whether your order was carried out is not known: look once the page is back.")
        said = f"{unsure} {said}"
    return Problem(t("The console cannot reach its data."), said, again=True, after_s=AGAIN_S)
