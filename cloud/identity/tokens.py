"""Random tokens. The database keeps their hashes only, so that a stolen backup opens no session."""

import hashlib
import secrets

_CLAIM_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""No letters that are taken for one another when a code is read out."""


def new_token() -> str:
    """A token of 256 random bits, safe in headers and cookies."""
    return secrets.token_urlsafe(32)


def new_box_token() -> str:
    """A box's token: 128 random bits for the minutes of a session, as a box may pay for each byte of it."""
    return secrets.token_urlsafe(16)


def new_claim_code() -> str:
    """A claim code a person can type: three groups of four, 59 bits."""
    letters = [secrets.choice(_CLAIM_LETTERS) for _ in range(12)]
    return "-".join("".join(letters[i : i + 4]) for i in (0, 4, 8))


def normal_claim(code: str) -> str:
    """A claim code as it was made, however it was typed."""
    letters = "".join(c for c in code.upper() if c in _CLAIM_LETTERS)
    return "-".join(letters[i : i + 4] for i in range(0, len(letters), 4))


def token_hash(token: str) -> bytes:
    """What the database keeps of a token. Looking up a hash gives away nothing about the token by its timing."""
    return hashlib.sha256(token.encode()).digest()
