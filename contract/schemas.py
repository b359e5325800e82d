"""What is generated from the models for people who write profiles and site files: schemas for editors, a reference.

`python -m contract.schemas` writes it; with `--check` it only says whether it is up to date.
"""

import json
import sys
from pathlib import Path

import msgspec

from contract.profile import Profile, shipped_profiles
from contract.reference import reference_text
from contract.site import Site

HERE = Path(__file__).resolve().parent
SCHEMAS = {
    shipped_profiles() / "schema.json": Profile,
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


def schema_text(model: type) -> str:
    """The JSON schema of a model, formatted as it is committed."""
    return json.dumps(msgspec.json.schema(model), indent=2, ensure_ascii=False) + "\n"


def generated() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    files = {path: schema_text(model) for path, model in SCHEMAS.items()}
    return files | {SITE_REFERENCE: reference_text(Site, "The site file", _ABOUT)}


def main(arguments: list[str]) -> int:
    """Writes what is out of date, or with `--check` says it and returns 1."""
    stale = {
        path: text
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path.name} is out of date. Say: python -m contract.schemas\n")
        return bool(stale)
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
