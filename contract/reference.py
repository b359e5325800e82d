"""A page in Markdown that lists every field of a model, for people who write files of it, made from the model itself.

A field's meaning is the docstring below it; what it takes and its default are what the model says.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise

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
    parts += ["\n".join(_section(where, part)) + "\n" for where, part in _parts(model, "")]
    return "\n".join(parts)


def meanings(model: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring below each field that has one."""
    (body,) = (node.body for node in ast.parse(textwrap.dedent(inspect.getsource(model))).body
               if isinstance(node, ast.ClassDef))  # fmt: skip
    found = {}
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = " ".join(said.split())
    return found


def _parts(model: type[msgspec.Struct], where: str) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Every map of the file with its place in it, the outermost first."""
    yield where, model
    for field in _fields(model):
        inner, suffix = field.type, ""
        if isinstance(inner, shapes.ListType):
            inner, suffix = inner.item_type, "[]"
        inner = _without_none(inner)
        if isinstance(inner, shapes.StructType) and inner.cls is not Secret:
            yield from _parts(inner.cls, f"{where}.{field.encode_name}{suffix}".removeprefix("."))


def _section(where: str, model: type[msgspec.Struct]) -> Iterator[str]:
    if where:
        yield f"## `{where}`"
        yield ""
        yield " ".join((inspect.getdoc(model) or "").split())
        yield ""
    yield "| field | what it is | takes | without it |"
    yield "|---|---|---|---|"
    said = meanings(model)
    for field in _fields(model):
        if field.name not in said:
            raise TypeError(f"{model.__name__}.{field.name} has no docstring below it that says what it is")
        yield f"| `{field.encode_name}` | {said[field.name]} | {_takes(field.type)} | {_without(field)} |"


def _fields(model: type[msgspec.Struct]) -> tuple[shapes.Field, ...]:
    shape = shapes.type_info(model)
    assert isinstance(shape, shapes.StructType)
    return shape.fields


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
        case shapes.ListType():
            return "a list of maps, see below"
        case shapes.LiteralType():
            return " or ".join(f"`{value}`" for value in shape.values)
        case shapes.UnionType():
            return " or ".join(_takes(one) for one in shape.types)
        case shapes.IntType():
            return f"whole number{_range(shape)}"
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


def _without(field: shapes.Field) -> str:
    """What counts when the field is left out."""
    if field.required:
        return "must be given"
    if isinstance(field.default, msgspec.Struct):
        return "as its fields say"
    return "none" if field.default in {None, ""} else f"`{_plain(field.default)}`"
