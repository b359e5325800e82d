"""One rule of the site as it is now: its phase, and how many of its triggers agree. Pure."""

from collections.abc import Sequence

from contract.site.linkage import strength
from edge.linkage.plan import RulePlan
from edge.linkage.triggers import Trigger
from edge.zones import Phase


class RuleState:
    """One rule as it is now, with the triggers that can confirm it."""

    __slots__ = (
        "had_acted",
        "is_acting",
        "is_pretended",
        "is_restored",
        "known",
        "phase",
        "plan",
        "since_ns",
        "triggers",
        "was_alarmed",
    )

    def __init__(self, plan: RulePlan, triggers: Sequence[Trigger]) -> None:
        self.plan, self.triggers = plan, triggers
        self.phase = Phase.QUIET
        self.since_ns = 0
        self.is_restored = False
        self.is_acting = False
        """Whether what stands under then: is being done."""
        self.had_acted = False
        """Whether it ever was, since it was confirmed; also before a restart."""
        self.is_pretended = False
        """Whether it was recorded instead of done."""
        self.known: set[str] = set()
        """Devices whose alarm was told since the zone was quiet, in this run; another one is news."""
        self.was_alarmed: dict[str, None] = {}
        """Devices that alarmed since the zone was quiet, in their order, also before a restart."""

    @property
    def subject(self) -> str:
        """The device on which things of this rule are told: the first that alarmed, else the first that it acts on."""
        told = [*self.was_alarmed, *(act.device for act in self.plan.then)]
        return told[0] if told else self.triggers[0].device

    def is_blind(self, now_ns: int) -> bool:
        """Whether so many of its triggers would not count that it could not be confirmed, whatever burns."""
        able = (trigger.kind for trigger in self.triggers if trigger.may_count(now_ns))
        return self.phase is not Phase.CONFIRMED and strength(able) < self.plan.needs

    def alarmed(self, now_ns: int) -> list[Trigger]:
        """The triggers that count now."""
        return [trigger for trigger in self.triggers if trigger.look(now_ns)]

    def strength(self, alarmed: Sequence[Trigger]) -> int:
        """How many independent triggers agree, at most, of those that began close enough to each other."""
        within_ns = self.plan.within_ns
        if not within_ns:
            return strength(trigger.kind for trigger in alarmed)
        return max(
            (
                strength(other.kind for other in alarmed if 0 <= last.since_ns - other.since_ns <= within_ns)
                for last in alarmed
            ),
            default=0,
        )
