"""The JSON schema of rules, for editors; generated from the model.

`python -m cloud.alarms.rules.schema` writes it; with `--check` it only says whether it is up to date.
"""

import sys

from cloud.alarms.rules.load import PACK
from cloud.alarms.rules.model import Rule
from contract.schemas import schema_text

SCHEMA = PACK / "schema.json"


def main(arguments: list[str]) -> int:
    """Writes the schema where it is out of date, or with `--check` says so and returns 1."""
    text = schema_text(Rule)
    if SCHEMA.exists() and SCHEMA.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in arguments:
        sys.stderr.write(f"{SCHEMA.name} of the rules is out of date. Say: python -m cloud.alarms.rules.schema\n")
        return 1
    SCHEMA.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
