"""A page in Markdown that lists every field of a model, for people who write files of it, made from the model itself.

A field's meaning is the docstring below it; what it takes and its default are what the model says.
"""

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import inspect as shapes

from contract.site import Secret

_INTRO = """\
# {title}

<!-- Generated from {module} by `python -m contract.schemas`. Change the model, not this page. -->

{about}
"""


def reference_text(model: type[msgspec.Struct], title: str, about: str) -> str:
    """The page: what it is about, then a table for each map of the file, from the outermost in."""
    parts = [_INTRO.format(title=title, module=model.__module__, about=about)]
    parts += ["\n".join(_section(where, part)) + "\n" for where, part in _parts(model, "", set())]
    return "\n".join(parts)


def structs_of(kind: Any) -> tuple[list[type[msgspec.Struct]], bool]:
    """The structs that a field of this type holds: one, or several of a union; and whether it holds a list of them."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return structs_of(parts[0])[0], True
    members = parts if origin in {typing.Union, types.UnionType} else (kind,)
    return [one for one in members if isinstance(one, type) and issubclass(one, msgspec.Struct)], False


def meanings(model: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring below each field that has one, its own or that of the struct it comes from."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if part is msgspec.Struct or not issubclass(part, msgspec.Struct):
            continue
        (body,) = (node.body for node in ast.parse(textwrap.dedent(inspect.getsource(part))).body
                   if isinstance(node, ast.ClassDef))  # fmt: skip
        for field, below in pairwise(body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    found[name] = " ".join(said.split())
    return found


def _parts(
    model: type[msgspec.Struct], where: str, told: set[type[msgspec.Struct]]
) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Every map of the file with the first place it has in it, the outermost first; of a union each member."""
    if model in told:
        return
    told.add(model)
    yield where, model
    for field in msgspec.structs.fields(model):
        structs, is_list = structs_of(field.type)
        place = f"{where}.{field.encode_name}{'[]' if is_list else ''}".removeprefix(".")
        for inner in structs:
            if inner is not Secret:
                yield from _parts(
                    inner, place if len(structs) == 1 else f"{place} with {_word_of(inner, structs)}:", told
                )


def _word_of(struct: type[msgspec.Struct], among: list[type[msgspec.Struct]]) -> str:
    """`protocol: mqtt`: what tells a struct of a union from the others."""
    for field in msgspec.structs.fields(struct):
        if typing.get_origin(field.type) is typing.Literal and all(hasattr(one, field.name) for one in among):
            return f"{field.encode_name}: {typing.get_args(field.type)[0]}"
    raise TypeError(f"nothing tells {struct.__name__} from the others")


def _section(where: str, model: type[msgspec.Struct]) -> Iterator[str]:
    if where:
        yield f"## `{where}`"
        yield ""
        yield " ".join((inspect.getdoc(model) or "").split())
        yield ""
    yield "| field | what it is | takes | without it |"
    yield "|---|---|---|---|"
    said = meanings(model)
    for field in msgspec.structs.fields(model):
        if field.name not in said:
            raise TypeError(f"{model.__name__}.{field.name} has no docstring below it that says what it is")
        yield f"| `{field.encode_name}` | {said[field.name]} | {_kind(field.type)} | {_without(field)} |"


def _kind(kind: Any) -> str:
    """What may stand in a field of this type, in words."""
    structs, is_list = structs_of(kind)
    if len(structs) > 1:
        return "a list of maps, see below" if is_list else "a map, see below"
    return _takes(shapes.type_info(kind))


def _without_none(shape: shapes.Type) -> shapes.Type:
    if not isinstance(shape, shapes.UnionType):
        return shape
    types = [one for one in shape.types if not isinstance(one, shapes.NoneType)]
    return types[0] if len(types) == 1 else shapes.UnionType(tuple(types))


def _takes(shape: shapes.Type) -> str:
    """What may stand in a field, in words."""
    shape = _without_none(shape)
    match shape:
        case shapes.Metadata():
            described = (shape.extra_json_schema or {}).get("description")
            return described.replace("|", r"\|") if described else _takes(shape.type)
        case shapes.StructType(cls=cls):
            return "`{secret: NAME}`" if cls is Secret else "a map, see below"
        case shapes.ListType(item_type=shapes.StructType() | shapes.UnionType()):
            return "a list of maps, see below"
        case shapes.ListType(item_type=item):
            return f"a list, each {_takes(item)}"
        case shapes.DictType(value_type=value):
            return f"a map of names, each {_takes(value)}"
        case shapes.LiteralType():
            return " or ".join(f"`{value}`" for value in shape.values)
        case shapes.UnionType():
            return " or ".join(_takes(one) for one in shape.types)
        case shapes.IntType():
            return f"whole number{_range(shape)}"
        case shapes.BoolType():
            return "true or false"
        case shapes.FloatType():
            return f"number{_range(shape)}"
        case shapes.StrType():
            return "text" + (f", at most {shape.max_length} characters" if shape.max_length else "")
    raise TypeError(f"no words for {shape}")


def _range(shape: shapes.IntType | shapes.FloatType) -> str:
    bounds = (("from", shape.ge), ("above", shape.gt), ("to", shape.le), ("below", shape.lt))
    return "".join(f" {word} {_plain(bound)}" for word, bound in bounds if bound is not None)


def _plain(value: object) -> object:
    """A number as people write it: 5, not 5.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without(field: msgspec.structs.FieldInfo) -> str:
    """What counts when the field is left out."""
    if field.required:
        return "must be given"
    if isinstance(field.default, msgspec.Struct):
        return "as its fields say"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"`{_plain(default)}`" if default or (default in (0, False) and default != "") else "none"
