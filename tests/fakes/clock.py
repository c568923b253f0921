"""A clock that stands still until a test moves it."""

import asyncio

START_US = 1_700_000_000_000_000


class FakeClock:
    """Sleepers wake when `advance` passes their time."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._fell_asleep = asyncio.Event()

    def utc_us(self) -> int:
        return START_US + round(self._now * 1e6)

    def monotonic_seconds(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        sleeper = (self._now + seconds, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        self._fell_asleep.set()
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += seconds
        for end, woken in self._sleepers:
            if end <= self._now and not woken.done():
                woken.set_result(None)

    async def until_someone_sleeps(self, seconds: float) -> None:
        """Returns once somebody has so long to sleep."""
        while not any(abs(end - self._now - seconds) < 1e-9 for end, _ in self._sleepers):
            self._fell_asleep.clear()
            await self._fell_asleep.wait()
