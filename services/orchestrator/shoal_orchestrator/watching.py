"""Jobs and their events as they change, for those who watch."""

from collections.abc import AsyncIterator

from shoal_orchestrator.clock import Clock
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.records import Job, JobKind
from shoal_orchestrator.training_records import Event
from shoal_orchestrator.trainings import Trainings

_INTERVAL_SECONDS = 0.1
_PAGE = 500


class Watching:
    """Follows jobs, at most ten times a second each."""

    def __init__(self, *, dispatcher: Dispatcher, trainings: Trainings, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._trainings = trainings
        self._clock = clock

    async def watch(self, name: str, *, since: int) -> AsyncIterator[tuple[Job, list[Event]]]:
        """Yields a job now and after changes, with its new events, until it has ended.

        Args:
            name: Its name.
            since: Number of the last event that the caller knows.

        Raises:
            NotFound: JOB_NOT_FOUND.
            Unavailable: SERVER_STOPPING.
        """
        last: Job | None = None
        while True:
            changed = self._dispatcher.next_change(name)
            job = await self._dispatcher.job(name)
            events = []
            if job.kind is JobKind.TRAIN:
                events = await self._trainings.events(name, since=since, limit=_PAGE)
            if job != last or events:
                yield job, events
                last = job
                since = events[-1].number if events else since
            if len(events) == _PAGE:
                continue  # there may be more
            if job.state.ended:
                return
            await self._clock.sleep(_INTERVAL_SECONDS)
            await changed.wait()
