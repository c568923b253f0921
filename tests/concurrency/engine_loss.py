"""What sessions do when the engine dies in the middle of their work and comes back."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc

from shoal.tracking.v1 import tracking_pb2 as pb
from shoal.tracking.v1 import tracking_pb2_grpc as pb_grpc
from shoal_common.channel import open_channel
from tests.concurrency.ensemble import Ensemble, settled_regions
from tests.concurrency.sessions import Plan, Recordings, digest, run_session

BURST = 3
"""Frames that a live client sends at once: more than one, so that some are replaced."""
MAX_AGE_MS = 400.0
SECONDS = 240.0
_ENOUGH = 4


class LiveClient:
    """Sends bursts of frames for as long as it is told, and counts what became of them."""

    def __init__(self, channel: grpc.aio.Channel, plan: Plan, items: list[pb.TrackFramesRequest]):
        self.captured = 0
        self.counts: Counter[str] = Counter()
        self.ledger = pb.FrameLedger()
        self._call = pb_grpc.TrackingServiceStub(channel).TrackFrames()
        self._plan = plan
        self._items = items
        self._changed = asyncio.Condition()
        self._stop = False

    async def run(self) -> None:
        """Runs the session from its configuration to its end in good order."""
        await self._call.write(self._plan.config)
        while not self._stop:
            for _ in range(BURST):
                item = pb.TrackFramesRequest()
                item.CopyFrom(self._items[self.captured % len(self._items)])
                item.frame.frame_index = self.captured
                await self._call.write(item)
                self.captured += 1
            for _ in range(BURST):
                await self._note(await self._call.read())
        await self._call.done_writing()
        assert await self._call.read() is grpc.aio.EOF
        assert await self._call.code() is grpc.StatusCode.OK

    def stop(self) -> None:
        """Ends the session after the burst that is under way."""
        self._stop = True

    async def until(self, has_come: Callable[[Counter[str]], bool]) -> None:
        """Returns once the counts are as wanted."""
        async with self._changed:
            await self._changed.wait_for(lambda: has_come(self.counts))

    async def _note(self, answer: pb.TrackFramesResponse) -> None:
        assert isinstance(answer, pb.TrackFramesResponse), "the session has ended"
        kind = str(answer.WhichOneof("result"))
        if kind == "skipped":
            kind = pb.SkipReason.Name(answer.skipped.reason)
        async with self._changed:
            self.counts[kind] += 1
            self.ledger = answer.ledger
            self._changed.notify_all()


def accounted(client: LiveClient) -> list[str]:
    """Returns complaints about a live session's ledger."""
    ledger = client.ledger
    told = Counter(
        poses=ledger.delivered,
        error=ledger.failed,
        SKIP_REASON_REPLACED=ledger.replaced,
        SKIP_REASON_STALE=ledger.stale,
    )
    complaints = []
    if told != client.counts:
        complaints.append(f"the ledger says {ledger}, the answers {dict(client.counts)}")
    if told.total() != client.captured:
        complaints.append(f"{client.captured} frames were sent, {told.total()} are accounted for")
    return complaints


async def kill_engine_under_load(
    ensemble: Ensemble, data: Path, *, live_count: int, recording_count: int, frame_count: int
) -> tuple[list[str], list[Counter[str]]]:
    """Kills the engine beside sessions of both policies and starts another one.

    Returns:
        Complaints, and what became of the frames of every live session.
    """
    recordings = Recordings(data)
    whole = Plan("pair-bottomup", range(frame_count), "inline", is_tracked=True)
    live = Plan(
        "pair-topdown",
        range(20),
        "png",
        is_tracked=True,
        latest_wins=pb.LatestWins(max_age_ms=MAX_AGE_MS),
    )
    items = recordings.requests(whole)
    async with (
        open_channel(ensemble.tracking_target) as channel,
        asyncio.timeout(SECONDS),
        asyncio.TaskGroup() as tasks,
    ):
        alone = digest(await run_session(channel, whole, items))
        recorded = [
            tasks.create_task(run_session(channel, whole, items)) for _ in range(recording_count)
        ]
        payloads = recordings.requests(live)
        clients = [LiveClient(channel, live, payloads) for _ in range(live_count)]
        for client in clients:
            tasks.create_task(client.run())
        for client in clients:
            await client.until(lambda counts: counts["poses"] >= _ENOUGH)
        await asyncio.to_thread(ensemble.kill_engine)
        for client in clients:
            lost = client.counts["SKIP_REASON_STALE"]
            await client.until(lambda counts, lost=lost: counts["SKIP_REASON_STALE"] > lost)
        await asyncio.to_thread(ensemble.start_engine)
        for client in clients:
            had = client.counts["poses"]
            await client.until(lambda counts, had=had: counts["poses"] >= had + _ENOUGH)
            client.stop()
    complaints = [
        "a session that drops nothing differs from the one alone"
        for task in recorded
        if digest(task.result()) != alone
    ]
    for client in clients:
        complaints += accounted(client)
    complaints += [f"left: {name}" for name in await settled_regions(ensemble)]
    return complaints, [client.counts for client in clients]
