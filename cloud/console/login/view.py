"""View of the login page: why it did not work, in a sentence that says what to do."""

from cloud.console.data import SignedOut, SignIn
from cloud.console.i18n import N_
from cloud.console.words import Voice

WHY_WORDS = {
    SignedOut.EXPIRED: N_("Your session has expired. Sign in again; you come back to where you were."),
    SignedOut.ENDED: N_(
        "Your session was ended: the account was disabled, its password changed, or you signed out elsewhere. Sign in "
        "again; if that fails, ask your property manager."
    ),
    SignedOut.LEFT: N_("You have signed out."),
}


def why_words(voice: Voice, why: str) -> str:
    """Why one is asked to sign in; empty where one just came."""
    return voice.t(WHY_WORDS[SignedOut(why)]) if why in set(SignedOut) else ""


def problem(voice: Voice, came: SignIn) -> str:
    """The sentence above the form; which of name and password was wrong is not said."""
    if came.retry_after_s:
        minutes = -(-came.retry_after_s // 60)
        return voice.t.n(
            "Too many tries. Wait %(n)s minute, then try again.",
            "Too many tries. Wait %(n)s minutes, then try again.",
            minutes,
        )
    return voice.t("Name and password do not match. Check both; your property manager can set a new password.")
