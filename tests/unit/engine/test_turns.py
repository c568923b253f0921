"""Whose part comes next."""

import threading
from dataclasses import dataclass

import pytest

from shoal_common.inference.priority import Priority
from shoal_engine.turns import LIVE_TURNS_IN_A_ROW, Turns


@dataclass(eq=False)
class Parts:
    name: str
    part_count: int = 1


def taken(turns: Turns[Parts], count: int) -> str:
    """The names of those whose parts are handed out, in turn."""
    names = []
    for _ in range(count):
        turn = turns.take()
        assert turn is not None
        names.append(turn[0].name)
    return "".join(names)


@pytest.mark.parametrize("priority", list(Priority))
def test_a_class_is_served_in_the_order_of_arrival(priority: Priority) -> None:
    turns: Turns[Parts] = Turns()
    for name, count in (("a", 2), ("b", 1), ("c", 3)):
        turns.add(Parts(name, count), priority)
    assert taken(turns, 6) == "aabccc"


def test_parts_of_a_work_are_handed_out_once_each() -> None:
    turns: Turns[Parts] = Turns()
    turns.add(Parts("a", 5), Priority.BATCH)
    assert [turn[1] for turn in (turns.take() for _ in range(5)) if turn] == [0, 1, 2, 3, 4]


def test_live_goes_before_batch_and_leaves_it_its_share() -> None:
    turns: Turns[Parts] = Turns()
    turns.add(Parts("b", 100), Priority.BATCH)
    turns.add(Parts("l", 100), Priority.LIVE)
    assert taken(turns, 40) == ("l" * LIVE_TURNS_IN_A_ROW + "b") * 10


def test_live_that_comes_now_and_then_never_waits_for_the_share() -> None:
    turns: Turns[Parts] = Turns()
    turns.add(Parts("b", 100), Priority.BATCH)
    for _ in range(20):
        turns.add(Parts("l"), Priority.LIVE)
        assert taken(turns, 2) == "lb"


def test_live_alone_does_not_use_up_its_turns() -> None:
    turns: Turns[Parts] = Turns()
    turns.add(Parts("l", 20), Priority.LIVE)
    assert taken(turns, 10) == "l" * 10
    turns.add(Parts("b"), Priority.BATCH)
    assert taken(turns, LIVE_TURNS_IN_A_ROW + 1) == "l" * LIVE_TURNS_IN_A_ROW + "b"


def test_what_was_discarded_is_not_handed_out() -> None:
    turns: Turns[Parts] = Turns()
    gone, stays = Parts("a", 3), Parts("b", 2)
    for work in (gone, stays):
        turns.add(work, Priority.LIVE)
    assert taken(turns, 1) == "a"
    turns.discard(gone)
    turns.discard(gone)
    assert taken(turns, 2) == "bb"


def test_whoever_waits_for_a_part_is_told_of_the_end() -> None:
    turns: Turns[Parts] = Turns()
    turn: list[object] = ["nothing yet"]
    waiting = threading.Thread(target=lambda: turn.append(turns.take()))
    waiting.start()
    turns.close()
    waiting.join(20)
    assert turn == ["nothing yet", None]
    turns.add(Parts("a"), Priority.LIVE)
    assert turns.take() is None
