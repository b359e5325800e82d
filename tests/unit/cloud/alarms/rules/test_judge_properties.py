"""Judging against plain models of it: second by second, and whenever its timers run."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.alarms.rules.judge import judge
from cloud.alarms.rules.memory import REST, Seen
from cloud.alarms.rules.model import Count, Event, Rate, Rule, Threshold
from tests.unit.cloud.alarms.rules.plays import Play, kept_as_rows, level, pressed, rise, rule_with, smoke, t, told

Samples = list[tuple[float, float | str | None]]
Drawn = tuple[Rule, Samples]
DELAYS = st.integers(0, 12)
GAPS = st.integers(0, 15)
NUMBERS = st.integers(0, 40).map(float)

thresholds = st.builds(
    lambda limits, is_below, hysteresis, on, off: level(
        *((-limit for limit in limits) if is_below else limits),
        side="below" if is_below else "above", hysteresis=hysteresis, on_delay_s=on, off_delay_s=off,
    ),
    st.lists(st.integers(1, 39), min_size=1, max_size=4, unique=True).map(sorted),
    st.booleans(), st.integers(0, 6), DELAYS, DELAYS,
)  # fmt: skip
rates = st.builds(
    lambda limits, falls, over, on, off: rise(
        *limits, direction="falls" if falls else "rises", over_s=over, on_delay_s=on, off_delay_s=off
    ),
    st.lists(st.integers(4, 39), min_size=1, max_size=3, unique=True).map(sorted),
    st.booleans(), st.integers(1, 60), DELAYS, DELAYS,
)  # fmt: skip
states = st.builds(lambda on, off: smoke(on_delay_s=on, off_delay_s=off), DELAYS, DELAYS)
events = st.builds(lambda stands: pressed(float(stands)), st.integers(1, 40))
counts = st.builds(
    lambda times, within: rule_with(Count(form="count", point="pressed", times=times, within_s=float(within))),
    st.integers(2, 5), st.integers(1, 40),
)  # fmt: skip


def samples_of(rule: Rule) -> st.SearchStrategy[Samples]:
    """What may be seen of a source, in its order; now and then it is lost, or seen twice at once."""
    if isinstance(rule.form, Threshold):
        sign = -1 if rule.form.side == "below" else 1
        values: st.SearchStrategy[float | str | None] = NUMBERS.map(lambda value: sign * value)
    elif isinstance(rule.form, Rate):
        values = NUMBERS
    elif isinstance(rule.form, Event | Count):
        values = st.just("")
    else:
        values = st.sampled_from(["smoke", "clear"])
    pairs = st.lists(st.tuples(GAPS, st.one_of(values, values, values, st.none())), max_size=30)

    def at_times(drawn: Sequence[tuple[int, float | str | None]]) -> Samples:
        now, found = 0.0, []
        for gap, value in drawn:
            now += gap
            found.append((now, value))
        return found

    return pairs.map(at_times)


PLAYS = st.one_of(thresholds, rates, states, events, counts).flatmap(
    lambda rule: st.tuples(st.just(rule), samples_of(rule))
)


@given(PLAYS, st.data())
@settings(max_examples=300)
def test_when_timers_run_makes_no_difference(play: Drawn, data: st.DataObject) -> None:
    """Exactly when they are due, not before the next reading, or now and then: what is found is the same."""
    rule, samples = play
    end = (samples[-1][0] if samples else 0) + 200
    exact = told(rule, samples, end)
    now_and_then = Play(rule, timers=False)
    before = 0.0
    for seconds, value in samples:
        if data.draw(st.booleans()):
            now_and_then.fire(data.draw(st.floats(before, seconds)))
        now_and_then.see(seconds, value)
        before = seconds
    assert now_and_then.run_timers(end).told == exact


@given(PLAYS)
@settings(max_examples=200)
def test_a_memory_has_all_that_matters(play: Drawn) -> None:
    """Judged again from a row after any reading, the rest comes out the same; and what is at rest holds no stage."""
    rule, samples = play
    whole = Play(rule)
    for i, (seconds, value) in enumerate(samples):
        whole.see(seconds, value)
        assert whole.memory == kept_as_rows(whole.memory)
        assert (whole.memory == REST) is whole.memory.is_at_rest
        stages = [verdict.stage for verdict in whole.verdicts]
        assert (stages[-1] if stages else 0) == whole.memory.stage
        rest = Play(rule)
        rest.memory, rest.before = kept_as_rows(whole.memory), whole.before
        found = len(whole.verdicts)
        end = seconds + 100
        once = Play(rule)
        once.memory, once.before = whole.memory, whole.before
        for later, said in samples[i + 1 : i + 4]:
            once.see(later, said)
            rest.see(later, said)
        assert rest.run_timers(end + 100).verdicts == once.run_timers(end + 100).verdicts
        assert len(whole.verdicts) == found


def by_the_second(rule: Rule, samples: Samples, end: int) -> list[tuple[int, float]]:
    """The same threshold as a machine that ticks: a comparator with hysteresis, a counter of seconds for each stage.

    At one second delays run out before what is read then counts.
    """
    form = rule.form
    assert isinstance(form, Threshold)
    sign = 1 if form.side == "above" else -1
    limits = [sign * stage.at for stage in form.stages]
    compared, stage, found = 0, 0, []
    above = [0] * len(limits)  # for so many seconds the comparator has been at this stage or beyond
    below = [10**6] * len(limits)

    def settle(now: int) -> None:
        nonlocal stage
        new = stage
        while new < len(limits) and compared > new and above[new] >= rule.on_delay_s:
            new += 1
        if new == stage:
            while new > 0 and compared < new and below[new - 1] >= rule.off_delay_s:
                new -= 1
        if new != stage:
            stage = new
            found.append((stage, float(now)))

    for now in range(end):
        settle(now)
        for at, value in samples:
            if at != now or not isinstance(value, int | float):
                continue
            v = sign * value
            new = max(
                (i + 1 for i, limit in enumerate(limits) if v >= limit - (form.hysteresis if i < compared else 0)),
                default=0,
            )
            for i in range(len(limits)):
                if new > i >= compared:
                    above[i] = 0
                if new <= i < compared:
                    below[i] = 0
            compared = new
            settle(now)
        for i in range(len(limits)):
            above[i] += compared > i
            below[i] += compared <= i
    return found


@given(thresholds.flatmap(lambda rule: st.tuples(st.just(rule), samples_of(rule))))
@settings(max_examples=400)
def test_a_threshold_is_a_comparator_and_counters(play: Drawn) -> None:
    rule, samples = play
    end = int(samples[-1][0] if samples else 0) + 100
    assert told(rule, samples, end) == by_the_second(rule, samples, end + 1)


@given(rates.flatmap(lambda rule: st.tuples(st.just(rule), samples_of(rule))))
@settings(max_examples=300)
def test_a_rise_is_never_found_without_one(play: Drawn) -> None:
    """Whenever a stage of a change begins, so much lay within the time; less a step that counts as none."""
    rule, samples = play
    form = rule.form
    assert isinstance(form, Rate)
    sign = 1 if form.direction == "rises" else -1
    good = [(at, sign * value) for at, value in samples if isinstance(value, int | float)]
    before = 0
    for stage, at in told(rule, samples, 10_000):
        if stage > before:
            began = at - rule.on_delay_s
            now = max(time for time, _ in good if time <= began)
            after = [i for i, (time, _) in enumerate(good) if time == now]
            # What a reading said was so until the next one came.
            held = [
                value for (time, value), (until, _) in pairwise(good) if until >= began - form.over_s and time <= now
            ]
            most = max(good[i][1] for i in after) - min((*held, good[after[0]][1]))
            assert most > form.stages[stage - 1].at - 2 * form.step
        before = stage


@given(rates.flatmap(lambda rule: st.tuples(st.just(rule), samples_of(rule))))
@settings(max_examples=300)
def test_a_clear_rise_is_always_found(play: Drawn) -> None:
    rule, samples = play
    form = rule.form
    assert isinstance(form, Rate)
    sign = 1 if form.direction == "rises" else -1
    good = [(at, sign * value) for at, value in samples if isinstance(value, int | float)]
    is_clear = any(
        b - a >= form.stages[0].at + 2 * form.step and at_b - at_a < form.over_s
        for i, (at_a, a) in enumerate(good)
        for at_b, b in good[i + 1 :]
    )
    if is_clear and not rule.on_delay_s:
        assert told(rule, samples, 10_000)


@given(PLAYS, st.integers(-50, 50))
def test_the_beginning_of_time_makes_no_difference(play: Drawn, shift: int) -> None:
    rule, samples = play
    shifted = [(at + shift, value) for at, value in samples]
    unshifted = [(stage, round(at - shift, 6)) for stage, at in told(rule, shifted, 5000 + shift)]
    assert unshifted == told(rule, samples, 5000)


@given(PLAYS)
def test_no_news_is_no_work(play: Drawn) -> None:
    """The same value once more changes nothing: no row is written for a condition that goes on."""
    rule, samples = play
    at_work = Play(rule)
    for seconds, value in samples:
        memory = at_work.see(seconds, value).memory
        if isinstance(rule.form, Event | Count) or (memory.due_at is not None and memory.due_at <= t(seconds)):
            continue
        before = at_work.before
        assert before is None or judge_again(rule, at_work, seconds, value) == memory


def judge_again(rule: Rule, play: Play, seconds: float, value: float | str | None) -> object:
    return judge(rule, play.memory, Seen(t(seconds), value, before=play.before), t(seconds)).memory
