"""View of the login page: why it did not work, in a sentence that says what to do."""

from cloud.console.data import SignIn
from cloud.console.words import Voice


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
