"""An escalation policy: who is told at which step, and when the next one comes. Pure."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from cloud.store.oncall import PolicyRow

Priority = Literal["critical", "high", "medium", "low"]
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "medium", "low")
"""The worst first."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Whom a step tells: exactly one of person, schedule, role, channel."""

    person: Name = ""
    """A login."""
    schedule: Name = ""
    """Whoever is on duty by this schedule when the step comes."""
    role: Name = ""
    """Everybody who has this role for the alarm's estate."""
    level: Name = ""
    """With role: only those who have it at an area of this level: grid, community, street, county, city, province."""
    channel: Name = ""
    """Whoever reads this channel."""

    @property
    def is_one(self) -> bool:
        """Whether it says exactly one thing."""
        said = sum(bool(part) for part in (self.person, self.schedule, self.role, self.channel))
        return said == 1 and (bool(self.role) or not self.level)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One step: `after_s` after the one before (the first: after the alarm) these are told."""

    after_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 0
    tell: list[Target]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as it is followed. After the last step it begins anew `repeat_times`, `repeat_every_s` later."""

    name: str
    steps: tuple[Step, ...]
    repeat_every_s: int
    repeat_times: int


class Following(msgspec.Struct, frozen=True):
    """The step after one, and how long after it."""

    step: int
    round: int
    after_s: int
    is_new_round: bool = False


def policy_of(row: PolicyRow) -> Policy:
    """A policy as the database has it."""
    steps = msgspec.convert(row.steps, tuple[Step, ...])
    return Policy(name=row.name, steps=steps, repeat_every_s=row.repeat_every_s, repeat_times=row.repeat_times)


def following(policy: Policy, step: int, round_: int) -> Following | None:
    """What comes after a step; None after the last of the last round."""
    if step + 1 < len(policy.steps):
        return Following(step + 1, round_, policy.steps[step + 1].after_s)
    if round_ < policy.repeat_times:
        return Following(0, round_ + 1, policy.repeat_every_s, is_new_round=True)
    return None


def targets(policy: Policy, step: int, *, drill: bool) -> Sequence[Target]:
    """Whom a step tells; in a drill only those on duty. None where the policy was changed and has no such step."""
    if step >= len(policy.steps):
        return ()
    told = policy.steps[step].tell
    return [target for target in told if target.schedule] if drill else told
