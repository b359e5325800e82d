"""Secrets of channels: a configuration names them, and only who runs the cloud says what they are.

`env:NAME` is the environment variable `ANJU_NOTIFY_SECRET_`NAME, `file:NAME` the file NAME in one folder. So whoever
may write a channel's configuration can name no other variable and no other file.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

_PREFIX: Final = "ANJU_NOTIFY_SECRET_"
_REFERENCE: Final = re.compile(r"env:[A-Za-z0-9_]{1,64}|file:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MOST_BYTES: Final = 8192
_LEAST_CHARS: Final = 4


class SecretError(Exception):
    """A secret cannot be had: a sentence that says what to do, without the secret."""


def is_reference(text: str) -> bool:
    """Whether this names a secret."""
    return _REFERENCE.fullmatch(text) is not None


class Secrets:
    """Looks secrets up, anew each time, so that a changed file counts at once."""

    def __init__(self, environment: Mapping[str, str], folder: Path | None) -> None:
        self._environment = environment
        self._folder = folder

    def read(self, reference: str) -> str:
        """What a reference stands for, without the white space around it. Raises SecretError."""
        if not is_reference(reference):
            raise SecretError("a secret is named as env:NAME or file:NAME, with letters, digits and _ in NAME")
        kind, _, name = reference.partition(":")
        text = (self._variable(name) if kind == "env" else self._file(name)).strip()
        if not text:
            raise SecretError(f"the secret {reference} is empty: put it where the cloud runs")
        if not text.isprintable() or len(text.encode()) > _MOST_BYTES:
            raise SecretError(f"the secret {reference} is not one line of printable text")
        return text

    def _variable(self, name: str) -> str:
        if (text := self._environment.get(_PREFIX + name)) is None:
            raise SecretError(f"the environment variable {_PREFIX}{name} is not set: set it where the cloud runs")
        return text

    def _file(self, name: str) -> str:
        if self._folder is None:
            raise SecretError("there is no folder of secrets: set ANJU_NOTIFY_SECRETS where the cloud runs")
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(_MOST_BYTES + 1).decode()
        except UnicodeDecodeError as e:
            raise SecretError(f"the secret file {name} is not text in UTF-8") from e
        except OSError as e:
            raise SecretError(f"the secret file {name} cannot be read: {e.strerror}") from e


def hide(text: str, secrets: tuple[str, ...]) -> str:
    """The text with dots for every secret in it, as it is and as it stands in an address.

    What is shorter than four characters is left: it is in every word, and no secret.
    """
    known = [secret for secret in secrets if len(secret) >= _LEAST_CHARS]
    forms = {form for secret in known for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "…")
    return text
