"""What a box writes for Prometheus is what Prometheus' own client would write, for whatever stands in it."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from edge.health.exposition import Family, counter, gauge, render, summary

# The parser of the client parts lines as Python does, at more than \n; Prometheus does not.
words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), include_characters='\n\\"{}=,'), max_size=8)
numbers = st.floats(allow_nan=False) | st.integers(0, 2**63).map(float) | st.booleans()


def theirs(*families: Metric) -> str:
    class Given(Collector):
        def collect(self) -> tuple[Metric, ...]:
            return families

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Given())
    return generate_latest(registry).decode()


def read(text: str) -> list[object]:
    return [
        (family.name, family.documentation, family.type, [tuple(sample) for sample in family.samples])
        for family in text_string_to_metric_families(text)
    ]


@given(words, st.dictionaries(st.tuples(words, words), numbers, max_size=3), numbers)
def test_it_reads_as_what_the_client_of_prometheus_writes(
    text: str, series: dict[tuple[str, str], float], value: float
) -> None:
    labels = ("bus", "stream")
    ours: list[Family] = [gauge("g", text, value), counter("c", text, abs(value)), gauge("l", text, labels=labels)]
    client: list[Metric] = [
        GaugeMetricFamily("g", text, value), CounterMetricFamily("c", text, abs(value)),
        GaugeMetricFamily("l", text, labels=labels),
    ]  # fmt: skip
    sums, client_sums = summary("s", text, labels), SummaryMetricFamily("s", text, labels=labels)
    for values, number in series.items():
        ours[2].add(values, number)
        client[2].add_metric(values, number)
        sums.add(values, 3, number)
        client_sums.add_metric(values, 3, number)
    assert read(render([*ours, sums])) == read(theirs(*client, client_sums))


def test_a_page_in_full() -> None:
    polls = counter("polls", "Polls\nmade.", labels=("bus",))
    polls.add(('a"\\\n',), 2)
    assert render([gauge("up", "Whether.", True), polls, gauge("load", "x", float("inf"))]) == (
        "# HELP up Whether.\n# TYPE up gauge\nup 1.0\n"
        '# HELP polls_total Polls\\nmade.\n# TYPE polls_total counter\npolls_total{bus="a\\"\\\\\\n"} 2.0\n'
        "# HELP load x\n# TYPE load gauge\nload +Inf\n"
    )
