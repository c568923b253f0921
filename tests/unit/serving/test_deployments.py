"""Watchers of one version share its checks, and none of them trips over another's."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from shoal_common import deadlines
from shoal_serving.deployments import Deployments
from shoal_serving.registry import Registry, Version
from tests.fakes.pose_engine import contract

VERSION = Version("fly", 1, contract(), cast(Any, None), datetime.now(UTC))
CHECKS = 1000
LONG = 1000.0


class OneModel:
    """A registry whose every name means the same version."""

    def resolve(self, name: str) -> Version:
        return VERSION


class QuickEngine:
    """Is always ready; notes how much time each check would have."""

    def __init__(self) -> None:
        self.timeouts_s: list[float] = []
        self.enough = asyncio.Event()

    async def is_ready(self, version: Version) -> bool:
        self.timeouts_s.append(deadlines.timeout_s(LONG))
        if len(self.timeouts_s) == CHECKS:
            self.enough.set()
        await asyncio.sleep(0)
        return True

    async def load(self, version: Version) -> None:
        raise AssertionError("nothing has to be loaded")

    async def unload_version(self, version: Version) -> None:
        raise AssertionError("nothing has to be unloaded")

    async def unload(self, model_id: str) -> None:
        raise AssertionError("nothing has to be unloaded")


async def test_watchers_that_check_all_the_time_go_on() -> None:
    engine = QuickEngine()
    deployments = Deployments(
        registry=cast(Registry, OneModel()), engine=engine, poll_seconds=0.0, grace_seconds=60
    )

    async def watch() -> None:
        async for version in deployments.watch("models/fly"):
            assert version is VERSION

    watching = [asyncio.create_task(watch()) for _ in range(8)]
    enough = asyncio.create_task(engine.enough.wait())
    done, _ = await asyncio.wait([enough, *watching], return_when=asyncio.FIRST_COMPLETED)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    assert [task for task in done if task is not enough] == []


async def test_check_that_others_share_does_not_end_with_the_time_of_who_began_it() -> None:
    engine = QuickEngine()
    deployments = Deployments(
        registry=cast(Registry, OneModel()), engine=engine, poll_seconds=60.0, grace_seconds=60
    )
    with deadlines.within(1.0):
        assert await anext(aiter(deployments.watch("models/fly"))) is VERSION
    assert engine.timeouts_s == [LONG]
