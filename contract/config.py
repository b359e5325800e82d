"""Reads a YAML file a person wrote into a model, and reports every mistake at once with its line and a hint.

msgspec stops at the first mistake. Here each field is converted on its own, going down into the model's structs, lists
and maps, so that one run shows all there is to mend.
"""

import functools
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import msgspec

from contract.document import FILE, FULL_WIDTH, FULL_WIDTH_HINT, Document, read_document
from contract.errors import ConfigError, Mistake

__all__ = ["FILE", "Bad", "Loaded", "Problem", "is_bad", "load_file", "nearest"]

T = TypeVar("T")
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """A mistake at a place within the document (keys and indexes), before its line is known."""

    where: Path_
    problem: str
    hint: str = ""


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """A model read from a file, and where everything in it stood."""

    value: T
    path: Path
    document: Document

    def raise_for(self, problems: Iterable[Problem]) -> None:
        """Raises ConfigError with the lines of these problems; does nothing when there are none."""
        mistakes = [
            Mistake(str(self.path), self.document.line_of(problem.where), problem.problem, problem.hint)
            for problem in problems
        ]
        if mistakes:
            raise ConfigError(mistakes)


@overload
def load_file(
    path: Path,
    model: type[T],
    refuse_secret: re.Pattern[str] | None = None,
    check: Callable[[T], list[Problem]] | None = None,
) -> Loaded[T]: ...


@overload
def load_file(
    path: Path,
    model: types.UnionType,
    refuse_secret: re.Pattern[str] | None = None,
    check: Callable[[Any], list[Problem]] | None = None,
) -> Loaded[Any]: ...


def load_file(
    path: Path,
    model: Any,
    refuse_secret: re.Pattern[str] | None = None,
    check: Callable[[Any], list[Problem]] | None = None,
) -> Loaded[Any]:
    """The model that a YAML file holds. Raises ConfigError with every mistake.

    `model` may be a union of structs that a Literal field tells apart. `refuse_secret` matches keys that must hold a
    reference (`{secret: name}`), not a value. `check` looks at the meaning of the whole; parts of the wrong shape are
    Bad() in what it is given (see is_bad).
    """
    document = read_document(path)
    problems: list[Problem] = []
    if refuse_secret is not None:
        problems.extend(_hide_secrets(document.root, refuse_secret))
    value = _convert(document.root, model, (), problems)
    if check is not None and not is_bad(value):
        problems.extend(check(value))
    loaded = Loaded(value, path, document)
    loaded.raise_for(problems)
    return loaded


def _hide_secrets(node: Any, words: re.Pattern[str], where: Path_ = ()) -> Iterable[Problem]:
    """Notes each secret that stands in clear and puts a Bad() in its place, so that no other mistake repeats it."""
    items: Iterable[tuple[str | int, Any]]
    if isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, list):
        items = enumerate(node)
    else:
        return
    for key, child in items:
        is_value = child is not None and not isinstance(child, dict)
        if is_value and key != "secret" and words.search(str(key)):
            node[key] = Bad()
            yield Problem((*where, key), f"{key} holds a value in clear",
                          f"put it in the box's folder of secrets and write {key}: {{secret: name}}")  # fmt: skip
        else:
            yield from _hide_secrets(child, words, (*where, key))


class Bad:
    """Stands where a part could not be converted, so that the rest can still be checked; its mistake is noted.

    Equal to nothing, below and above nothing, empty when iterated.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __lt__(self, _: object) -> bool:
        return False

    __le__ = __gt__ = __ge__ = __lt__


def is_bad(*parts: object) -> bool:
    """Whether any of these could not be converted; a check has nothing to say of it then."""
    return any(isinstance(part, Bad) for part in parts)


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known word that is most like this one; an empty list where none is like it."""
    import difflib  # only where there is a mistake

    return difflib.get_close_matches(word, list(known), n=1)


def _convert(node: Any, model: Any, where: Path_, problems: list[Problem]) -> Any:
    """The node as the model wants it, with Bad() in place of each part that is wrong."""
    if isinstance(node, Bad):
        return node
    origin = typing.get_origin(model)
    if isinstance(model, type) and issubclass(model, msgspec.Struct):
        return _convert_struct(node, model, where, problems)
    if origin is list and isinstance(node, list):
        (item,) = typing.get_args(model)
        return [_convert(child, item, (*where, i), problems) for i, child in enumerate(node)]
    if origin is dict and isinstance(node, dict):
        key_type, item = typing.get_args(model)
        return {
            _leaf(key, key_type, (*where, key), problems): _convert(child, item, (*where, key), problems)
            for key, child in node.items()
        }
    if origin in {typing.Union, types.UnionType}:
        return _convert_union(node, model, where, problems)
    if origin in {list, dict}:  # said here: msgspec refuses to look at lists of structs that a plain field tells apart
        wanted = "a list" if origin is list else "a map"
        problems.append(Problem(where, f"{_name(where)}: expected {wanted}, it is {_say(node)}"))
        return Bad()
    return _leaf(node, model, where, problems)


def _convert_union(node: Any, model: Any, where: Path_, problems: list[Problem]) -> Any:
    """The node as that member of the union which its shape, and among structs its discriminating field, tells."""
    members = typing.get_args(model)
    structs = [member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct)]
    for container in (list, dict):
        if isinstance(node, container):
            of_kind = [member for member in members if typing.get_origin(member) is container]
            if len(of_kind) == 1:
                return _convert(node, of_kind[0], where, problems)
    if isinstance(node, dict) and len(structs) == 1:
        return _convert(node, structs[0], where, problems)
    if len(structs) < 2:
        return _leaf(node, model, where, problems)  # msgspec's own unions have at most one struct without a tag
    others = [member for member in members if member not in structs]
    if not isinstance(node, dict):
        if node is None and types.NoneType in others:
            return None
        problems.append(Problem(where, f"{_name(where)} should be a map of fields, it is {_say(node)}"))
        return Bad()
    field, by_word = _discriminator(tuple(structs))
    if field not in node:
        hint = f"add a line {field}: with one of: {', '.join(map(str, by_word))}"
        problems.append(Problem(where, f"{_name(where)} lacks {field!r}", hint))
        return Bad()
    said = node[field]
    if is_bad(said):
        return said
    word = _leaf(said, typing.Literal[tuple(by_word)], (*where, field), problems)
    return word if is_bad(word) else _convert_struct(node, by_word[word], where, problems)


@functools.cache
def _discriminator(structs: tuple[type[msgspec.Struct], ...]) -> tuple[str, dict[str | int, type[msgspec.Struct]]]:
    """The field that is a Literal of other words in each of these structs, and the struct of each word.

    Raises TypeError where there is none: no document could tell these structs apart.
    """
    literals = [
        {
            field.encode_name: typing.get_args(field.type)
            for field in msgspec.structs.fields(struct)
            if typing.get_origin(field.type) is typing.Literal
        }
        for struct in structs
    ]
    for name in literals[0]:
        if all(name in words for words in literals):
            pairs = [(word, struct) for words, struct in zip(literals, structs, strict=True) for word in words[name]]
            by_word = dict(pairs)
            if len(by_word) == len(pairs):
                return name, by_word
    raise TypeError(f"no Literal field tells {', '.join(struct.__name__ for struct in structs)} apart")


@functools.cache
def _fields(model: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """A struct's fields by the names that they have in a file; looking them up anew takes half of a site's loading."""
    return {field.encode_name: field for field in msgspec.structs.fields(model)}


def _convert_struct(node: Any, model: type[msgspec.Struct], where: Path_, problems: list[Problem]) -> Any:
    if not isinstance(node, dict):
        problems.append(Problem(where, f"{_name(where)} should be a map of fields, it is {_say(node)}"))
        return Bad()
    fields = _fields(model)
    values: dict[str, Any] = {}
    meant: set[str] = set()
    """Fields that seem to be misspelt: that one is lacking is no mistake of its own then."""
    for key in node:
        if key not in fields:
            lacking = nearest(str(key), [name for name in fields if name not in node])
            meant.update(lacking)
            near = lacking or nearest(str(key), fields)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(fields)}"
            if FULL_WIDTH.search(str(key)):
                hint = FULL_WIDTH_HINT
            problems.append(Problem((*where, key), f"{_name(where)} has no field {key!r}", hint))
    for name, field in fields.items():
        if name in node:
            values[field.name] = _convert(node[name], field.type, (*where, name), problems)
        elif field.required and name in meant:
            values[field.name] = Bad()
        elif field.required:
            problems.append(Problem(where, f"{_name(where)} lacks {name!r}", f"add a line {name}: …"))
            values[field.name] = Bad()
    return model(**values)


def _leaf(node: Any, model: Any, where: Path_, problems: list[Problem]) -> Any:
    try:
        value = msgspec.convert(_plain(node) if isinstance(node, dict | list) else node, model)
    except msgspec.ValidationError as e:
        said = re.sub(r" - at `.*`$", "", str(e))
        problem, hint = f"{_name(where)}: {_words(said)}, it is {_say(node)}", _described(model)
        if hint and OTHER_FORM in problem:  # which form is the message itself, for a hint may not be shown
            problem, hint = problem.replace(OTHER_FORM, f"{OTHER_FORM} ({hint})"), ""
        choices = _choices(model)
        if choices and isinstance(node, str | int) and not isinstance(node, bool):
            near = nearest(str(node), choices) if isinstance(node, str) else []
            hint = f"one of: {', '.join(choices)}"
            problem = f"{_name(where)}: {_say(node)} is not known here"
            if near:
                hint = f"did you mean {near[0]!r}? {hint}"
        problems.append(Problem(where, problem, hint))
        return Bad()
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(Problem(where, f"{_name(where)} must be a number, it is {value}"))
        return Bad()
    return value


def _choices(model: Any) -> list[str]:
    """The words that a field of few words takes; empty for any other field."""
    if typing.get_origin(model) in {typing.Union, types.UnionType}:
        members = [_choices(member) for member in typing.get_args(model) if member is not types.NoneType]
        return [word for words in members for word in words] if all(members) else []
    if typing.get_origin(model) is typing.Literal:
        return [str(word) for word in typing.get_args(model)]
    return [str(word.value) for word in model] if isinstance(model, type) and issubclass(model, Enum) else []


def _described(model: Any) -> str:
    """What a field's type says of itself (msgspec.Meta), as the hint of a value that it refuses."""
    metas = (part for part in getattr(model, "__metadata__", ()) if isinstance(part, msgspec.Meta))
    return next((meta.description for meta in metas if meta.description), "")


def _plain(node: Any) -> Any:
    """A part of a document in Python's own containers, which is what msgspec's strict checks know."""
    if isinstance(node, dict):
        return {_plain(key): _plain(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_plain(child) for child in node]
    return node


OTHER_FORM = "of another form"
_MSGSPEC_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "nothing",
}


def _words(said: str) -> str:
    """msgspec's sentence in words of the file rather than of Python."""
    said = re.sub(r"matching regex .*", OTHER_FORM, said)
    said = re.sub(r", got `\w+`$", "", said)
    said = re.sub(r"`([a-z |]+)`", lambda names: _all_words(names[1]), said)
    return said[0].lower() + said[1:] if said else said


def _all_words(names: str) -> str:
    """The names of types (`int | null`) in words; what is not all names of types stays as it is."""
    parts = names.split(" | ")
    known = [_MSGSPEC_WORDS[part] for part in parts if part in _MSGSPEC_WORDS]
    return " or ".join(known) if len(known) == len(parts) else f"`{names}`"


def _say(node: Any) -> str:
    if isinstance(node, dict):
        return "a map"
    if isinstance(node, list):
        return "a list"
    if node is None:
        return "empty"
    if isinstance(node, bool):
        return "true" if node else "false"
    return re.sub(r"//[^/\s]*@", "//…@", repr(_plain(node)))  # an address may hold a password


def _name(where: Path_) -> str:
    """The innermost place in words: `devices[3].unit` rather than the whole path."""
    if not where:
        return "the file"
    last = where[-1]
    if isinstance(last, int):
        return f"{where[-2] if len(where) > 1 else 'item'}[{last}]"
    return str(last)
