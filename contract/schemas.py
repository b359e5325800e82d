"""What is generated from the models for people who write profiles and site files: schemas for editors, a reference.

`python -m contract.schemas` writes it; with `--check` it only says whether it is up to date.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from contract.profile import AnyProfile, shipped_profiles
from contract.reference import reference_text, structs_of
from contract.site import Site

HERE = Path(__file__).resolve().parent
SCHEMAS = {
    shipped_profiles() / "schema.json": AnyProfile,
    HERE / "site.schema.json": Site,
}
SITE_REFERENCE = HERE / "site.reference.md"
_ABOUT = """\
The site file says what is connected to one box: `/etc/anju/site.yaml`, in YAML. A person writes it and keeps it in git.
`anju check --site FILE` finds every mistake at once; `site.schema.json` lets an editor complete it
(`# yaml-language-server: $schema=…` in its first line). A whole one:
[simulators/scenarios/site.yaml](../simulators/scenarios/site.yaml); a short one:
[edge/drivers/modbus/sample.yaml](../edge/drivers/modbus/sample.yaml).

A field that is not listed here is a mistake, so that a slip of the pen is not taken for a default."""
_REF = "#/$defs/{name}"


def schema_text(model: Any) -> str:
    """The JSON schema of a model, or of a union of them, formatted as it is committed."""
    defs: dict[str, Any] = {}
    schema = _schema(model, defs)
    return json.dumps(schema | {"$defs": dict(sorted(defs.items()))}, indent=2, ensure_ascii=False) + "\n"


def _schema(model: Any, defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; what it refers to is put into `defs`.

    msgspec describes no union of structs that a plain field tells apart, so each member is described by itself.
    """
    members, is_list = structs_of(model)
    if len(members) > 1:
        choice: dict[str, Any] = {"anyOf": [_schema(member, defs) for member in members]}
        return {"type": "array", "items": choice} if is_list else choice
    divided = [field for field in _struct_fields(model) if len(structs_of(field.type)[0]) > 1]
    if not divided:
        (schema,), parts = msgspec.json.schema_components([model], ref_template=_REF)
        defs.update(parts)
        return schema
    fields = _struct_fields(model)
    plain = msgspec.defstruct(
        model.__name__,
        [(f.name, Any if f in divided else f.type, *_default(f)) for f in fields],
        namespace={"__doc__": model.__doc__}, kw_only=True, forbid_unknown_fields=True,
    )  # fmt: skip
    (schema,), parts = msgspec.json.schema_components([plain], ref_template=_REF)
    for field in divided:
        parts[model.__name__]["properties"][field.encode_name] |= _schema(field.type, defs)
    defs.update(parts)
    return schema


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    """What a field has when it is left out, as the third part of its definition; nothing where it must be given."""
    if field.required:
        return ()
    return (field.default if field.default is not msgspec.NODEFAULT else field.default_factory(),)


def _struct_fields(model: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    is_struct = isinstance(model, type) and issubclass(model, msgspec.Struct)
    return msgspec.structs.fields(model) if is_struct else ()


def generated() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    files = {path: schema_text(model) for path, model in SCHEMAS.items()}
    return files | {SITE_REFERENCE: reference_text(Site, "The site file", _ABOUT)}


def write_or_check(files: Mapping[Path, str], arguments: list[str], command: str, what: str = "") -> int:
    """Writes those of the files that are out of date, or with `--check` names them and returns 1.

    `command` is what to say to have them written; `what` tells them from others of the same name.
    """
    stale = {
        path: text for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path.name}{what} is out of date. Say: {command}\n")
        return bool(stale)
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    return 0


def main(arguments: list[str]) -> int:
    """Writes what is out of date, or with `--check` says it and returns 1."""
    return write_or_check(generated(), arguments, "python -m contract.schemas")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
