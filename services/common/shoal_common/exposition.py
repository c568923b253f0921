"""`Metrics` as the text that Prometheus scrapes.

Imported only where metrics are asked for: `prometheus_client` takes a tenth of a second to load.
"""

import inspect
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from shoal_common.metrics import BUCKETS_SECONDS, Metrics, Number

CONTENT_TYPE = CONTENT_TYPE_LATEST


async def exposition(metrics: Metrics) -> bytes:
    """Returns all numbers as they are now, those of the process included."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    values = [(number, await _value(number)) for number in metrics.numbers]
    registry.register(_Families([*_numbers(values), *_calls(metrics)]))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _value(number: Number) -> float:
    value = number.read()
    return await value if inspect.isawaitable(value) else value


def _numbers(values: list[tuple[Number, float]]) -> Iterable[Metric]:
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for number, value in values:
        make = CounterMetricFamily if number.kind == "counter" else GaugeMetricFamily
        family = families.setdefault(
            number.name, make(number.name, number.description, labels=list(number.labels))
        )
        family.add_metric(list(number.labels.values()), value)
    return families.values()


def _calls(metrics: Metrics) -> list[Metric]:
    prefix = f"{metrics.service}_rpc"
    by_method = ["method"]
    ended = CounterMetricFamily(
        f"{prefix}_calls", "Calls that have ended.", labels=["method", "code"]
    )
    seconds = HistogramMetricFamily(
        f"{prefix}_seconds", "From the start of a call to its end.", labels=by_method
    )
    in_flight = GaugeMetricFamily(f"{prefix}_in_flight_calls", "Calls that run.", labels=by_method)
    received = CounterMetricFamily(
        f"{prefix}_received_bytes", "Bytes of request messages.", labels=by_method
    )
    sent = CounterMetricFamily(
        f"{prefix}_sent_bytes", "Bytes of response messages.", labels=by_method
    )
    for method, calls in sorted(metrics.calls.items()):
        for code in sorted({"OK", *calls.ended}):
            ended.add_metric([method, code], calls.ended[code])
        bounds = [*(str(bound) for bound in BUCKETS_SECONDS), "+Inf"]
        counts = accumulate(calls.bucket_counts)
        seconds.add_metric(
            [method], list(zip(bounds, counts, strict=True)), sum_value=calls.total_seconds
        )
        in_flight.add_metric([method], calls.in_flight_count)
        received.add_metric([method], calls.received_bytes)
        sent.add_metric([method], calls.sent_bytes)
    return [ended, seconds, in_flight, received, sent]
