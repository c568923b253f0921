"""Lets coroutines wait until something has changed, without polling."""

import asyncio
from weakref import WeakValueDictionary

from shoal_core.errors import Unavailable


class Changes:
    """Announcements by topic. Whoever waits takes the event first, then looks, then waits."""

    def __init__(self) -> None:
        self._events: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._closed = False

    def next(self, topic: str) -> asyncio.Event:
        """Returns an event that the next announcement sets.

        Raises:
            Unavailable: SERVER_STOPPING when there will be none.
        """
        if self._closed:
            raise Unavailable(
                "SERVER_STOPPING", "The orchestrator is stopping; try again when it is back."
            )
        return self._events.setdefault(topic, asyncio.Event())

    def announce(self, topic: str) -> None:
        """Wakes all who wait for the topic."""
        event = self._events.pop(topic, None)
        if event is not None:
            event.set()

    def close(self) -> None:
        """Wakes everybody; nobody may wait any more."""
        self._closed = True
        for topic in list(self._events):
            self.announce(topic)
