"""Time, as something that is handed in."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the orchestrator needs to know of time."""

    def utc_us(self) -> int:
        """Returns the time for people: microseconds since 1970."""
        ...

    def monotonic_seconds(self) -> float:
        """Returns the time for leases: it never jumps when somebody sets the computer's clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after so many monotonic seconds."""
        ...


class SystemClock:
    """The computer's clock."""

    def utc_us(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1000

    def monotonic_seconds(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(seconds)
