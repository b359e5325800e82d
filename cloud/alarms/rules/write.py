"""A rule as the text of its file: what is as it is by default is left out."""

from typing import Any

import msgspec
import yaml

from cloud.alarms.rules.model import Rule

_WIDTH = 120


def file_text(rule: Rule) -> str:
    """The YAML that load_rule would read as this rule."""
    return yaml.safe_dump(_plain(rule), allow_unicode=True, sort_keys=False, width=_WIDTH, default_flow_style=None)


def _plain(part: Any) -> Any:
    if isinstance(part, msgspec.Struct):
        fields = msgspec.structs.fields(type(part))
        return {
            field.encode_name: _plain(getattr(part, field.name))
            for field in fields
            if field.required or getattr(part, field.name) != _default(field)
        }
    if isinstance(part, list):
        return [_plain(child) for child in part]
    return part


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
