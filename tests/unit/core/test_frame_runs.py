"""Laws of runs of frames."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_core.errors import InvalidArgument
from shoal_core.frame_runs import frame_count, merged, parse_runs, runs_of, runs_text, within

frames = st.sets(st.integers(0, 60), max_size=40)


@given(frames)
def test_runs_hold_their_frames_and_never_touch(chosen) -> None:
    runs = runs_of(chosen)
    assert [frame for run in runs for frame in run] == sorted(chosen)
    assert all(a.stop < b.start for a, b in itertools.pairwise(runs))
    assert frame_count(runs) == len(chosen)


@given(st.lists(st.builds(range, st.integers(0, 40), st.integers(0, 40)), max_size=8))
def test_any_runs_become_the_same_frames(given_runs) -> None:
    assert merged(given_runs) == runs_of({frame for run in given_runs for frame in run})


@given(frames.filter(bool))
def test_what_is_written_is_read_again(chosen) -> None:
    runs = runs_of(chosen)
    assert parse_runs(runs_text(runs)) == runs


@given(frames, st.integers(0, 60), st.integers(0, 60))
def test_a_part_of_the_runs_is_the_frames_in_between(chosen, start, stop) -> None:
    expected = [frame for frame in sorted(chosen) if start <= frame < stop]
    assert list(within(runs_of(chosen), start, stop)) == expected


def test_frames_are_written_as_sleap_writes_them() -> None:
    assert parse_runs("0-99,200, 300-310") == (range(100), range(200, 201), range(300, 311))
    assert parse_runs(" 7 ") == (range(7, 8),)
    assert runs_text((range(100), range(200, 201))) == "0-99,200"


@pytest.mark.parametrize("text", ["", "a", "-5", "5-", "5-9-12", "3-1", "1.5", "0:5", "1,,2", "1,"])
def test_what_is_no_list_of_frames_is_refused(text) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_runs(text)
    assert caught.value.reason == "FRAMES_INVALID"
    assert "\n" not in caught.value.message
