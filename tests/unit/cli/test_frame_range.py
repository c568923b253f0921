"""Frames as SLEAP writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_cli.frame_range import parse_frames
from shoal_core.errors import InvalidArgument


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_both_ends_are_included(first: int, more: int) -> None:
    frames = parse_frames(f"{first}-{first + more}")
    assert frames == range(first, first + more + 1)


def test_a_single_frame_is_a_range_of_one() -> None:
    assert parse_frames("7") == range(7, 8)


@pytest.mark.parametrize("text", ["", "-", "a-b", "5-", "-5", "9-3", "1,2", "1-2-3", "0.5-2"])
def test_what_is_not_a_range_is_named(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_frames(text)
    assert caught.value.reason == "FRAMES_INVALID"
    assert text in caught.value.message
