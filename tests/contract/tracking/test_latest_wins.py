"""Sessions in which the latest frame wins: every frame is answered, whatever became of it."""

import asyncio
from collections import Counter

import pytest

from shoal.tracking.v1 import tracking_pb2 as pb
from shoal_core.errors import InvalidArgument
from tests.contract.tracking.conftest import (
    Tracking,
    config,
    frame_item,
    frames,
    inline,
    window_tracker,
)

COUNT = 12


def items(count: int) -> list[pb.TrackFramesRequest]:
    return [frame_item(index, inline(frame)) for index, frame in enumerate(frames(count))]


def kinds(answers: list[pb.TrackFramesResponse]) -> list[str]:
    """What became of each frame."""
    reasons = {pb.SKIP_REASON_REPLACED: "replaced", pb.SKIP_REASON_STALE: "stale"}
    names = {"poses": "delivered", "error": "failed"}
    return [
        reasons[answer.skipped.reason]
        if answer.WhichOneof("result") == "skipped"
        else names[str(answer.WhichOneof("result"))]
        for answer in answers
    ]


def assert_accounted_for(answers: list[pb.TrackFramesResponse]) -> None:
    """The ledger of every answer counts the answers up to it, itself included."""
    so_far: Counter[str] = Counter()
    for index, (answer, kind) in enumerate(zip(answers, kinds(answers), strict=True)):
        so_far[kind] += 1
        ledger = answer.ledger
        assert answer.frame_index == index
        assert so_far == Counter(
            delivered=ledger.delivered,
            replaced=ledger.replaced,
            stale=ledger.stale,
            failed=ledger.failed,
        )


async def test_newest_frame_replaces_the_waiting_one(tracking: Tracking) -> None:
    tracking.engine.gate.clear()
    async with tracking.session(latest_wins=pb.LatestWins()) as stream:
        await stream.send(*items(COUNT))
        await tracking.engine.until_running(1)
        for _ in range(2000):  # until the others have arrived, which nothing tells
            await asyncio.sleep(0)
        tracking.engine.gate.set()
        answers = [await stream.read() for _ in range(COUNT)]
    assert_accounted_for(answers)
    assert kinds(answers)[0] == kinds(answers)[-1] == "delivered"
    assert "replaced" in kinds(answers)
    assert tracking.engine.most_running == 1


async def test_engine_stops_working_on_a_frame_that_has_become_too_old(tracking: Tracking) -> None:
    tracking.engine.gate.clear()
    latest = pb.LatestWins(max_age_ms=150.0)
    async with tracking.session(latest_wins=latest, tracker=window_tracker()) as stream:
        answers = await stream.ask(*items(COUNT))
        await tracking.engine.until_running(0)
        assert_accounted_for(answers)
        assert "stale" in kinds(answers)
        assert "delivered" not in kinds(answers)
        assert tracking.engine.requests == []
        tracking.engine.gate.set()
        (answer,) = await stream.ask(frame_item(COUNT, inline(frames(1)[0])))
    assert kinds([answer]) == ["delivered"]


async def test_engine_that_is_away_costs_frames_but_not_the_session(tracking: Tracking) -> None:
    latest = pb.LatestWins(max_age_ms=300.0)
    async with tracking.session(latest_wins=latest) as stream:
        before = await stream.ask(items(1)[0])
        await tracking.engine.stop()
        away = await stream.ask(*items(COUNT)[1:])
        await tracking.engine.start()
        answers = [*before, *away]
        for index in range(COUNT, COUNT + 100):
            answers += await stream.ask(frame_item(index, inline(frames(1)[0])))
            if kinds(answers)[-1] == "delivered":
                break
    assert_accounted_for(answers)
    assert kinds(away)[-1] == "stale"
    assert kinds(answers)[-1] == "delivered"


async def test_frame_that_cannot_be_read_is_accounted_for_as_failed(tracking: Tracking) -> None:
    broken = frame_item(1, inline(frames(1)[0]))
    broken.frame.frame.inline.data = b""
    async with tracking.session(latest_wins=pb.LatestWins()) as stream:
        answers = []
        for item in (items(1)[0], broken, items(3)[2]):
            answers += await stream.ask(item)
    assert kinds(answers) == ["delivered", "failed", "delivered"]
    assert_accounted_for(answers)


@pytest.mark.parametrize("max_age_ms", [0.0, -1.0, float("inf"), float("nan")])
async def test_age_that_cannot_work_is_refused(tracking: Tracking, max_age_ms: float) -> None:
    stream = tracking.stream()
    await stream.send(config(latest_wins=pb.LatestWins(max_age_ms=max_age_ms)))
    error = await stream.refusal()
    assert isinstance(error, InvalidArgument)
    assert error.reason == "PARAMETER_INVALID"
    assert "max_age_ms" in error.message


async def test_session_in_which_frames_get_old_does_not_disturb_one_that_drops_nothing(
    tracking: Tracking,
) -> None:
    async with (
        tracking.session(latest_wins=pb.LatestWins(max_age_ms=1.0)) as live,
        tracking.session() as recording,
    ):
        of_live, of_recording = await asyncio.gather(
            live.ask(*items(COUNT)), recording.ask(*items(COUNT))
        )
    assert kinds(of_recording) == ["delivered"] * COUNT
    assert_accounted_for(of_live)
    assert_accounted_for(of_recording)
