"""JSON schemas generated from the models, for editors and for people who write profiles and site files.

`python -m contract.schemas` writes them; with `--check` it only says whether they are up to date.
"""

import json
import sys
from pathlib import Path

import msgspec

from contract.profile import Profile, shipped_profiles
from contract.site import Site

SCHEMAS = {
    shipped_profiles() / "schema.json": Profile,
    Path(__file__).resolve().parent / "site.schema.json": Site,
}


def schema_text(model: type) -> str:
    """The JSON schema of a model, formatted as it is committed."""
    return json.dumps(msgspec.json.schema(model), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Writes the schemas, or with `--check` returns 1 when one is out of date."""
    stale = [path for path, model in SCHEMAS.items() if not path.exists() or path.read_text() != schema_text(model)]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path.name} is out of date. Say: python -m contract.schemas\n")
        return bool(stale)
    for path in stale:
        path.write_text(schema_text(SCHEMAS[path]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
