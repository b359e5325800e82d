"""Card numbers and plates become tokens before anything is kept or sent (DOMAIN.md, personal information)."""

import hashlib
import hmac
import unicodedata
from collections.abc import Callable

TOKEN_BYTES = 10
Tokenise = Callable[[str], str]
"""Makes a token of a personal value; the same value of the same estate gives the same token."""


def tokeniser(key: bytes) -> Tokenise:
    """Tokens by a keyed hash (HMAC-SHA-256, 80 bits): who has no key can neither undo nor guess one.

    Case, width, spaces, dots and hyphens do not count, so that a plate read as 粤B·12345 is that read as 粤ｂ12345.
    Where nothing is left there is nobody, and the token is empty.
    """

    def tokenise(value: str) -> str:
        plain = "".join(c for c in unicodedata.normalize("NFKC", value).upper() if c.isalnum())
        if not plain:
            return ""
        return hmac.new(key, plain.encode(), hashlib.sha256).digest()[:TOKEN_BYTES].hex()

    return tokenise
