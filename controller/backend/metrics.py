"""What Prometheus may know, read off the running service when it asks: counting costs the control loop nothing."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.backend.sending import metrics
from controller.service import Service
from optimiser.problem import Plan


class Measures(Collector):
    """A collector of one service; `planned` is told of every plan, `heard` of readings."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._plans: dict[str, int] = {}  # by status
        self._solve_s = 0.0
        self._last_s = 0.0
        self.readings = 0
        self.faults = 0  # that the event loop caught

    def planned(self, plan: Plan) -> None:
        """Count one plan."""
        self._plans[str(plan.status)] = self._plans.get(str(plan.status), 0) + 1
        self._solve_s += plan.solve_s
        self._last_s = plan.solve_s

    def collect(self) -> Iterator[Metric]:
        service, hubs = self._service, self._service.hubs
        yield CounterMetricFamily("plenum_readings", "Readings taken in.", value=self.readings)
        yield CounterMetricFamily(
            "plenum_readings_dropped", "Readings lost by slow readers.", value=hubs.readings.dropped
        )
        up = GaugeMetricFamily("plenum_device_up", "Whether the device answers.", labels=["device"])
        polls = CounterMetricFamily("plenum_device_polls", "Polls answered.", labels=["device"])
        failures = CounterMetricFamily("plenum_device_failures", "Times the device was lost.", labels=["device"])
        latency = GaugeMetricFamily("plenum_device_poll_seconds", "Length of the last poll.", labels=["device"])
        for name, link in service.links.items():
            up.add_metric([name], float(link.up))
            polls.add_metric([name], link.polls)
            failures.add_metric([name], link.failures)
            latency.add_metric([name], link.latency.total_seconds())
        yield from (up, polls, failures, latency)
        plans = CounterMetricFamily("plenum_plans", "Plans made, by status.", labels=["status"])
        for status, count in sorted(self._plans.items()):
            plans.add_metric([status], count)
        yield plans
        yield CounterMetricFamily("plenum_solve_seconds", "Time spent solving.", value=self._solve_s)
        yield GaugeMetricFamily("plenum_solve_last_seconds", "Time the last solve took.", value=self._last_s)
        yield GaugeMetricFamily(
            "plenum_level", "Rung of the fall-back ladder, 0 is best.", value=int(service.ladder.level)
        )
        leased = [status for status in service.dispatch.status.values() if status.expires is not None]
        yield GaugeMetricFamily("plenum_leases", "Points we hold.", value=len(leased))
        yield GaugeMetricFamily(
            "plenum_store_bytes", "What readings, commands and audit take.", value=service.store.upkeep.used_bytes
        )
        yield CounterMetricFamily("plenum_loop_faults", "Errors the event loop caught.", value=self.faults)
        if service.forwarder is not None:
            yield from metrics(service.forwarder, service.clock.now())
