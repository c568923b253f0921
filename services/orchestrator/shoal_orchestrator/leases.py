"""Leases in memory: until when they last, and how far their workers are.

The ledger knows who holds a task; only when that ends, and the progress in between, lives
here. After a restart every lease that the ledger knows begins anew, since no worker could
renew it while nobody listened.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shoal_orchestrator.records import Count, LeasedTask, TaskKey


@dataclass
class Lease:
    """A worker's time with a task."""

    task: LeasedTask
    deadline_seconds: float
    """Monotonic time at which it ends."""
    heard_of: bool
    """False after a restart, until the worker renews."""
    count: Count
    """What the worker has said to have done."""
    measurement: bytes | None = None
    """The `TrainingMeasurement` that came last from a trainer."""
    heard_time_us: int | None = None
    """When a trainer was heard of last; microseconds since 1970."""


class Leases:
    """The leases that run, by task."""

    def __init__(self, *, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._leases: dict[TaskKey, Lease] = {}

    def add(self, task: LeasedTask, *, now_seconds: float, heard_of: bool = True) -> Lease:
        """Returns a lease that begins now."""
        lease = Lease(task, now_seconds + self._lease_seconds, heard_of, Count())
        self._leases[task.key] = lease
        return lease

    def find(self, key: TaskKey, token: int) -> Lease | None:
        """Returns the lease under that token, if it runs."""
        lease = self._leases.get(key)
        return lease if lease is not None and lease.task.fencing_token == token else None

    def renew(self, lease: Lease, count: Count, *, now_seconds: float) -> None:
        """Lets a lease begin again, with what its worker has done."""
        lease.deadline_seconds = now_seconds + self._lease_seconds
        lease.heard_of = True
        lease.count = count

    def drop(self, key: TaskKey) -> None:
        """Forgets the lease of a task, if there is one."""
        self._leases.pop(key, None)

    def drop_job(self, job: str) -> None:
        """Forgets the leases of a job."""
        for lease in list(self.of_job(job)):
            self.drop(lease.task.key)

    def of_job(self, job: str) -> Iterator[Lease]:
        """Yields the leases of a job."""
        return (lease for lease in self._leases.values() if lease.task.key.job == job)

    def expired(self, now_seconds: float) -> list[Lease]:
        """Returns the leases that have ended."""
        return [lease for lease in self._leases.values() if lease.deadline_seconds <= now_seconds]

    def seconds_to_next_end(self, now_seconds: float) -> float:
        """Returns the time in which no lease can end, those that are still to begin included."""
        ends = [lease.deadline_seconds - now_seconds for lease in self._leases.values()]
        return max(min([self._lease_seconds, *ends]), 0.0)
