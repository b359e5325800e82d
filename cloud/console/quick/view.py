"""View of a one-time link: what became of it, in a sentence that says what to do."""

from cloud.console.i18n import N_
from cloud.console.quick.data import LinkState
from cloud.console.words import Voice

STATE_WORDS = {
    LinkState.DONE: N_("Acknowledged. Nobody else is called; everybody sees that you are on it."),
    LinkState.USED: N_("This link was used already. Sign in to see how the alarm stands."),
    LinkState.EXPIRED: N_("This link is too old. Sign in, and acknowledge the alarm there."),
    LinkState.OVER: N_("Somebody has acknowledged this alarm, or it has ended. Nothing is left to do here."),
    LinkState.NOT_ALLOWED: N_("You may not acknowledge there any more. Call a colleague who may."),
    LinkState.UNKNOWN: N_("There is no such link. Check that the address is whole, or sign in."),
    LinkState.TOO_MANY: N_("Too many tries from here. Wait a quarter of an hour, or sign in."),
}
STATUS = {LinkState.UNKNOWN: 404, LinkState.TOO_MANY: 429}
"""All others are 200: the link is one."""


def state_words(voice: Voice, state: LinkState) -> str:
    """What became of the link; empty where it can be used."""
    return voice.t(STATE_WORDS[state]) if state in STATE_WORDS else ""
