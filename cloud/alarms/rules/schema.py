"""What is generated of the rules for people who write some: the JSON schema for editors, and a page.

`python -m cloud.alarms.rules.schema` writes it; with `--check` it only says whether it is up to date.
"""

import sys
from pathlib import Path

from cloud.alarms.rules.load import PACK, pack
from cloud.alarms.rules.model import PRIORITIES, RULE_KINDS, Rule
from contract.reference import reference_text
from contract.schemas import schema_text, write_or_check

SCHEMA = PACK / "schema.json"
PAGE = PACK / "README.md"
_ABOUT = """\
One YAML file a rule. Those of this folder come with the cloud and count from the first day; in the database each has
versions, and what a person changes there stands above what is shipped.

    anju-cloud rule list                          which rules there are, and which were changed or switched off
    anju-cloud rule show smoke > smoke.yaml       a rule as a file, to begin with
    anju-cloud rule check smoke.yaml              every mistake with its line
    anju-cloud rule try smoke.yaml --estate 西苑小区 --since 30d     what it would have raised
    anju-cloud rule set smoke.yaml --why …        puts it in force; `off` switches a rule off, `reset` puts it back

`schema.json` lets an editor complete a rule (`# yaml-language-server: $schema=…` in its first line). A field that is
not listed here is a mistake. Holidays are in [calendar](../calendar).

## What is shipped

{shipped}

## What may stand in a rule
"""


def generated() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    page = reference_text(Rule, "Alarm rules", _ABOUT.format(shipped=_shipped()))
    return {
        SCHEMA: schema_text(Rule),
        PAGE: page.replace("python -m contract.schemas", "python -m cloud.alarms.rules.schema"),
    }


def _shipped() -> str:
    rows = ["| rule | what people are told | 告诉人什么 | how bad |", "|---|---|---|---|"]
    for rule in pack().rules:
        kinds = rule.kinds or RULE_KINDS
        bad = {rule.priority_at(kind, stage) for kind in kinds for stage in range(1, rule.stages + 1)}
        said = ", ".join(priority for priority in PRIORITIES if priority in bad)
        rows.append(f"| [{rule.name}]({rule.name}.yaml) | {rule.text.en.title} | {rule.text.zh.title} | {said} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Writes what is out of date, or with `--check` says it and returns 1."""
    return write_or_check(generated(), arguments, "python -m cloud.alarms.rules.schema", " of the rules")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
