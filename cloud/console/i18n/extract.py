"""Finds every text of templates and code, and says which of them a catalogue lacks.

`python -m cloud.console.i18n.extract` prints the missing and the unused ones as `.po` entries.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from babel.messages.pofile import read_po
from jinja2 import nodes
from jinja2.environment import Environment

from cloud.console.i18n import LANGUAGES

CONSOLE = Path(__file__).parents[1]


class Text(msgspec.Struct, frozen=True, order=True):
    """A text in English, its plural where it has one, and the context that tells it from the same words elsewhere."""

    context: str
    one: str
    many: str = ""


def texts_of_templates() -> Iterator[Text]:
    """Texts called in templates: `_`, `ngettext`, `pgettext`, `npgettext`."""
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    for path in sorted(CONSOLE.rglob("*.html")):
        if "node_modules" in path.parts:
            continue
        tree = environment.parse(path.read_text("utf-8"))
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name):
                said = [str(argument.value) for argument in call.args if isinstance(argument, nodes.Const)]
                yield from _text({"_": "gettext"}.get(call.node.name, call.node.name), said)


def texts_of_code() -> Iterator[Text]:
    """Texts said in code: `N_("…", "context")`, and `t("…")`, `t.p("context", "…")`, `t.n("…", "…")` of Texts."""
    for path in sorted(CONSOLE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            said = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            match ast.unparse(node.func).removeprefix("voice."):
                case "N_":
                    yield Text(said[1] if len(said) > 1 else "", said[0])
                case "t":
                    yield from _text("gettext", said)
                case "t.p" if len(said) == 2:  # one argument only: the text is in a table, marked with N_
                    yield from _text("pgettext", said)
                case "t.n":
                    yield from _text("ngettext", said)


def _text(function: str, said: list[str]) -> Iterator[Text]:
    match function, said:
        case "gettext", [one]:
            yield Text("", one)
        case "pgettext", [context, one]:
            yield Text(context, one)
        case "ngettext", [one, many]:
            yield Text("", one, many)
        case "npgettext", [context, one, many]:
            yield Text(context, one, many)


def catalogue(language: str) -> dict[Text, tuple[str, ...]]:
    """What a language's `.po` file has, by text."""
    known: dict[Text, tuple[str, ...]] = {}
    with (Path(__file__).parent / f"{language}.po").open("rb") as file:
        for message in read_po(file, abort_invalid=True):
            one, many = message.id if isinstance(message.id, tuple) else (message.id, "")
            forms = message.string if isinstance(message.string, tuple) else (message.string,)
            if one:
                known[Text(message.context or "", str(one), str(many))] = tuple(str(form) for form in forms)
    return known


def missing(language: str) -> list[Text]:
    """Texts that the language has no words for."""
    known = catalogue(language)
    return sorted(text for text in {*texts_of_templates(), *texts_of_code()} if not all(known.get(text, ("",))))


def unused(language: str) -> list[Text]:
    """Texts of the catalogue that nothing says any more."""
    return sorted(set(catalogue(language)) - {*texts_of_templates(), *texts_of_code()})


def main() -> None:
    """Print what is missing, ready to be filled in."""
    for language in (language for language in LANGUAGES if language != "en"):
        for text in missing(language):
            context = f"msgctxt {msgspec.json.encode(text.context).decode()}\n" if text.context else ""
            plural = f"msgid_plural {msgspec.json.encode(text.many).decode()}\nmsgstr[0]" if text.many else "msgstr"
            sys.stdout.write(f'{context}msgid {msgspec.json.encode(text.one).decode()}\n{plural} ""\n\n')
        for text in unused(language):
            sys.stdout.write(f"# unused in {language}: {text.context} {text.one}\n")


if __name__ == "__main__":
    main()
