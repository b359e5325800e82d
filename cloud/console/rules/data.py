"""Rules as the console reads them, and switching one off or on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from cloud.alarms.rules.model import Rule
from cloud.console.alarms.data import Came
from cloud.console.data import Person


class RuleVersion(msgspec.Struct, frozen=True):
    """A version of a rule, who made it and why. `who` is None where it came with the software."""

    version: int
    at: datetime
    is_on: bool
    who: str | None = None
    why: str = ""


class RuleRow(msgspec.Struct, frozen=True):
    """A rule as it stands, or stood when it was switched off.

    `areas` and `devices` are what those are called to which it is limited, `except_devices` those that it leaves out.
    `may_switch` is whether the person who asks has the right to wherever it looks.
    """

    rule: Rule
    is_on: bool
    version: int
    areas: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    except_devices: tuple[str, ...] = ()
    may_switch: bool = False


class RulesData(Protocol):
    """Rules, as the person may see them."""

    async def rules(self, person: Person) -> Sequence[RuleRow]:
        """All of them, by name."""

    async def rule(self, person: Person, name: str) -> RuleRow | None:
        """One of them."""

    async def rule_versions(self, person: Person, name: str) -> Sequence[RuleVersion]:
        """Its versions, newest first."""

    async def switch_rule(self, person: Person, name: str, why: str, *, on: bool) -> Came:
        """Switch it off, or on as it was, for a reason, with a line in the audit log."""
