"""The console's languages: texts are written in English in the code and looked up in a gettext catalogue.

Chinese comes first: it is what a browser gets that asks for neither. The catalogues are `.po` files read at start;
nothing is compiled.
"""

import gettext
from functools import cache
from pathlib import Path
from typing import Any

from babel.core import negotiate_locale
from babel.messages.pofile import read_po

LANGUAGES = ("zh_CN", "en")
"""Locales the console speaks, the default first."""
NAMES = {"zh_CN": "中文", "en": "English"}
HTML_LANG = {"zh_CN": "zh-CN", "en": "en"}

_HERE = Path(__file__).parent


class Catalogue(gettext.NullTranslations):
    """Texts of one language read from its `.po` file; a text that is missing is said in English."""

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._texts: dict[tuple[str, str], tuple[str, ...]] = {}
        if path is not None:
            with path.open("rb") as file:
                for message in read_po(file, abort_invalid=True):
                    forms = message.string if isinstance(message.string, tuple) else (message.string,)
                    key = message.id[0] if isinstance(message.id, tuple) else message.id
                    if key and all(forms):
                        self._texts[message.context or "", str(key)] = tuple(str(form) for form in forms)

    def gettext(self, message: str) -> str:
        """The text in this language."""
        return self.pgettext("", message)

    def pgettext(self, context: str, message: str) -> str:
        """The text in this language where it means `context`."""
        forms = self._texts.get((context, message))
        return forms[0] if forms else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """The text for `n` things. Chinese has one form, English two; a third language brings a plural rule."""
        forms = self._texts.get(("", msgid1))
        return forms[0] if forms else (msgid1 if n == 1 else msgid2)

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int) -> str:
        """As `ngettext`, where the text means `context`."""
        forms = self._texts.get((context, msgid1))
        return forms[0] if forms else (msgid1 if n == 1 else msgid2)


class Texts:
    """One language, called with an English text and the values of its `%(name)s` places."""

    def __init__(self, language: str, catalogue: Catalogue) -> None:
        self.language = language
        self.catalogue = catalogue

    @property
    def is_chinese(self) -> bool:
        """Whether names of the vocabulary are to be said in Chinese."""
        return self.language.startswith("zh")

    def __call__(self, message: str, **values: Any) -> str:
        """The text with its places filled."""
        text = self.catalogue.gettext(message)
        return text % values if values else text

    def p(self, context: str, message: str, **values: Any) -> str:
        """The text where it means `context`."""
        text = self.catalogue.pgettext(context, message)
        return text % values if values else text

    def n(self, one: str, many: str, n: int) -> str:
        """The text for `n` things, with `%(n)s` filled."""
        return self.catalogue.ngettext(one, many, n) % {"n": n}


def N_(message: str, context: str = "") -> str:  # noqa: ARG001, N802 - gettext's own name; the extractor reads both
    """Mark a text in a table for translation (where it means `context`); it is looked up where it is said."""
    return message


@cache
def texts(language: str) -> Texts:
    """The texts of one of LANGUAGES."""
    path = None if language == "en" else _HERE / f"{language}.po"
    return Texts(language, Catalogue(path))


def choose(cookie: str | None, setting: str | None, accept_language: str | None) -> str:
    """Language of a request: what was switched to, else the person's setting, else what the browser asks for."""
    for wish in (cookie, setting):
        if wish in LANGUAGES:
            return wish
    wishes = [part.split(";")[0].strip().replace("-", "_") for part in (accept_language or "").split(",")]
    # zh_TW, zh_HK and plain zh are better served with Chinese than with English.
    wishes = ["zh_CN" if wish.lower().startswith("zh") else wish for wish in wishes]
    return negotiate_locale(wishes, LANGUAGES) or LANGUAGES[0]
