"""The schedule of a bus: whose turn it is, and how long a silent unit may keep its neighbours waiting. No I/O."""

import heapq
from collections.abc import Sequence

from edge.backoff import backoff_s
from edge.drivers.modbus.config import Timing
from edge.drivers.modbus.plan import Planned

S = 1_000_000_000
_NOW_NS = 1_000_000
"""What is due so soon is due now: the loop's timers count milliseconds, and would be set again and again for less."""
_EARLY_SHARE = 50
_EARLY_MAX_NS = 20_000_000
"""A network that is awake asks so early, as a part of the period, what would else be a waking of its own."""
_SLOW_FACTOR = 3.0
"""A question to a silent unit waits this many times the slowest recent answer."""
_KNOWN_FACTOR = 5.0
"""The first question that stays unanswered waits this many times the unit's own slowest recent answer."""
_FADE = 0.1
"""By this share the slowest answer fades towards each quicker one."""


class Poll:
    """What is asked of one unit each period, and how that went.

    `failures` counts silences in a row, `pleas` answers in a row that only asked for time, `cuts` waits in a row that
    were cut short for a command.
    """

    __slots__ = (
        "cuts", "due_ns", "early_ns", "failures", "has_phase", "period_ns", "pleas", "reads", "seen", "slowest_s",
        "unit",
    )  # fmt: skip

    def __init__(self, unit: int, reads: Sequence[Planned], due_ns: int, period_s: float) -> None:
        self.unit = unit
        self.reads = list(reads)
        self.due_ns = due_ns
        self.period_ns = round(period_s * S)
        is_line = any(read.wire_s for read in reads)
        self.early_ns = _NOW_NS if is_line else max(_NOW_NS, min(_EARLY_MAX_NS, self.period_ns // _EARLY_SHARE))
        self.failures = self.pleas = self.cuts = 0
        self.has_phase = False
        self.seen = False
        self.slowest_s = 0.0


class Schedule:
    """Earliest deadline first over the polls of a bus.

    Deadlines are absolute: a poll made late does not shift the next. A silent unit's next question comes after a
    jittered, growing back-off, and all silent units together get at most `probe_share` of the bus's time while any
    other unit answers: each wait for one is followed by a pause for all of them.
    """

    def __init__(self, polls: Sequence[Poll], timeout_s: float, timing: Timing) -> None:
        self.skipped = 0
        self._timeout_s = timeout_s
        self._timing = timing
        self._order = 0
        self._heap: list[tuple[int, int, Poll]] = []
        self._silent: set[Poll] = set()
        self._polls = set(polls)
        self._no_probe_before_ns = 0
        self._asked_all_ns = -(1 << 62)
        self._slowest_s = 0.0
        for poll in polls:
            self.add(poll)

    @property
    def silent_units(self) -> int:
        """How many units gave no answer to their last question."""
        return len({poll.unit for poll in self._silent})

    @property
    def next_ns(self) -> int | None:
        """When the next poll is due; None when there are none."""
        return self._heap[0][0] if self._heap else None

    def add(self, poll: Poll) -> None:
        """Puts a poll in its place in the order."""
        self._polls.add(poll)
        self._order += 1
        heapq.heappush(self._heap, (poll.due_ns, self._order, poll))

    def take(self, now_ns: int) -> Poll | None:
        """The poll whose turn it is, taken out of the order; None when it is nobody's yet."""
        soon_ns = now_ns + _NOW_NS
        while self._heap:
            due_ns, _, poll = self._heap[0]
            if due_ns > (soon_ns if poll.failures else now_ns + poll.early_ns):
                return None
            heapq.heappop(self._heap)
            if poll.failures and soon_ns < self._no_probe_before_ns:
                poll.due_ns = self._no_probe_before_ns
                self.add(poll)
                continue
            return poll
        return None

    def timeout_s(self, poll: Poll) -> float:
        """How long to wait for this poll's next answer: in full for an unknown unit, briefly for a silent one.

        A unit that answered so far is given some times what it took; when that is not enough it may have become slow,
        so its next question waits in full, unless many are silent: those died together and shall cost little.
        """
        if not poll.failures:
            known_s = max(self._timing.known_s, _KNOWN_FACTOR * poll.slowest_s)
            return min(self._timeout_s, known_s) if poll.seen else self._timeout_s
        each, is_second = self._timing.full_every, poll.failures == 1 and poll.seen and self._are_few_silent
        is_full = is_second or poll.failures % each == each - 1
        return self._timeout_s if is_full else self.brief_s(poll)

    def is_silent(self, unit: int) -> bool:
        """Whether nothing of a unit that is polled was answered when it was asked last."""
        polls = self._polls_of(unit)
        return bool(polls) and self._silent.issuperset(polls)

    def order_timeout_s(self, unit: int) -> float:
        """How long to wait for the answer to an order: briefly where the whole unit is silent, in full else."""
        if self.is_silent(unit):
            return max(self.brief_s(poll) for poll in self._polls_of(unit))
        return self._timeout_s

    def _polls_of(self, unit: int) -> list[Poll]:
        return [poll for poll in self._polls if poll.unit == unit]

    def brief_s(self, poll: Poll) -> float:
        """How long an answer may take where somebody else wants the bus: by what this unit, or else any, has taken."""
        slowest = poll.slowest_s or self._slowest_s
        brief = max(self._timing.probe_s, _SLOW_FACTOR * slowest) if slowest else self._timing.first_s
        return min(self._timeout_s, brief)

    def answered(self, poll: Poll, latency_s: float, now_ns: int) -> None:
        """Notes a question that was answered, be it with an exception.

        Where a silent unit is back, the others are asked at once: what went together often comes back together.
        """
        poll.slowest_s = max(latency_s, poll.slowest_s + _FADE * (latency_s - poll.slowest_s))
        self._slowest_s = max(latency_s, self._slowest_s + _FADE * (latency_s - self._slowest_s))
        poll.seen = True
        poll.failures = poll.cuts = 0
        if poll in self._silent:
            self._silent.discard(poll)
            self._ask_silent(now_ns)

    def _ask_silent(self, now_ns: int) -> None:
        """Has all silent units asked now; not again and again where one comes and goes."""
        if now_ns < self._asked_all_ns + round(self._timing.backoff_max_s * S):
            return
        self._asked_all_ns = self._no_probe_before_ns = now_ns
        for other in self._silent:
            other.due_ns = min(other.due_ns, now_ns)
        self._heap = [(one.due_ns, order, one) for _, order, one in self._heap]
        heapq.heapify(self._heap)

    @property
    def _are_few_silent(self) -> bool:
        return len(self._silent) <= self._timing.few

    def put_back(self, poll: Poll, now_ns: int) -> None:
        """Back in order after a poll that was answered: at its next deadline, leaving out those already past.

        All are due at once at first, and then as far apart as their turns were, so that on a full line nobody is always
        the last, for whom any delay is one too many.
        """
        if not poll.has_phase:
            poll.has_phase, poll.due_ns = True, now_ns
        missed = max(0, (now_ns - poll.due_ns) // poll.period_ns)
        self.skipped += missed
        poll.due_ns += (missed + 1) * poll.period_ns
        poll.pleas = 0
        self.add(poll)

    def put_back_busy(self, poll: Poll, now_ns: int) -> bool:
        """Back in order after an answer that asked for time, with a pause; False, and not put back, after too many."""
        poll.pleas += 1
        if poll.pleas > self._timing.pleas:
            return False
        self.add_at(poll, now_ns + round(self._timing.busy_s * S))
        return True

    def put_back_cut(self, poll: Poll, now_ns: int) -> bool:
        """Back in order when its answer was waited for no longer; False, and not put back, after too many times.

        Its deadline is left out, but for what is polled seldom: a unit that says nothing must not be asked again and
        again before all others.
        """
        poll.cuts += 1
        if poll.cuts > self._timing.cuts:
            return False
        self.skipped += 1
        self.add_at(poll, now_ns + min(poll.period_ns, round(self._timing.backoff_s * S)))
        return True

    def add_at(self, poll: Poll, due_ns: int) -> None:
        """Puts a poll in its place with another deadline."""
        poll.due_ns = due_ns
        self.add(poll)

    def put_back_silent(self, poll: Poll, now_ns: int, waited_s: float) -> None:
        """Back in order after `waited_s` seconds without an answer: backed off, and a pause for all silent ones.

        The first silence of a unit brings no pause, for it is rare and what comes back soon shall be found soon.
        Its next turn begins with another question: one that stays unanswered must not hide those behind it.
        """
        poll.reads.append(poll.reads.pop(0))
        if poll.failures and len(self._silent) < len(self._polls):
            pause_s = waited_s / self._timing.probe_share
            if self._are_few_silent:  # they cost little; and a panel that is back must not stay unasked for long
                pause_s = min(pause_s, self._timing.pause_max_s)
            self._no_probe_before_ns = now_ns + round(pause_s * S)
        poll.failures += 1
        poll.cuts = poll.pleas = 0
        self._silent.add(poll)
        wait_s = max(poll.period_ns / S, backoff_s(poll.failures, self._timing.backoff_s, self._timing.backoff_max_s))
        poll.due_ns = now_ns + round(wait_s * S)
        self.add(poll)

    def part(self, poll: Poll, read: Planned, now_ns: int) -> Poll:
        """Takes one question out of a poll into a poll of its own, so that its silence does not hold up the rest."""
        poll.reads.remove(read)
        own = Poll(poll.unit, [read], now_ns, poll.period_ns / S)
        own.seen, own.slowest_s = poll.seen, poll.slowest_s
        return own

    def renew(self, polls: Sequence[Poll]) -> None:
        """After a reconnect: everyone is due at once, and what is known of how each unit answers stays known.

        A unit that never answered is asked in full once more, for the cut may have come of its being mended.
        """
        before, self._polls = self._polls, set(polls)
        self._heap, self._silent = [], set()
        for poll in polls:
            known = [other for other in before if other.unit == poll.unit]
            poll.seen = any(other.seen for other in known)
            poll.slowest_s = max((other.slowest_s for other in known), default=0.0)
            poll.failures = min((other.failures for other in known), default=0)
            if poll.failures:
                self._silent.add(poll)
                if not poll.seen:
                    poll.failures = self._timing.full_every - 1
            self.add(poll)

    def hold_back(self, unit: int, times: int, now_ns: int) -> None:
        """Backs off a unit whose question went out `times` times in a row when the connection was lost."""
        held = [poll for poll in self._polls if poll.unit == unit]
        self._heap = [entry for entry in self._heap if entry[2].unit != unit]
        heapq.heapify(self._heap)
        for poll in held:
            poll.failures = times - 1
            self.put_back_silent(poll, now_ns, waited_s=0.0)
