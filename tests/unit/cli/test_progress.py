"""Progress in a terminal and in a file."""

import io

import pytest

from shoal_cli.progress import Progress, duration_text, progress_text


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_line_tells_counts_share_rate_and_time_left() -> None:
    text = progress_text("tracking", 275, 1100, 55.0, "frames")
    assert (
        text == "tracking ██████·················· 275/1100 frames  25% · 55.0 frames/s · 0:15 left"
    )


def test_an_unknown_rate_is_left_out() -> None:
    assert progress_text("tracking", 0, 10, None, "frames").endswith("0/10 frames   0%")


def test_more_than_all_is_all() -> None:
    assert "100%" in progress_text("tracking", 12, 10, None, "frames")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (9.4, "0:09"), (3723, "1:02:03")])
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_rate_is_that_of_recent_frames(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(stream, moves=True, clock=clock)
    progress.step("tracking")
    for second in range(101):
        clock.now_s = float(second)
        progress.update(500 + (second if second < 50 else 50 + 10 * (second - 50)), 2000)
    assert "10.0 frames/s" in stream.getvalue().rpartition("\r")[2]


def test_frames_of_an_earlier_run_do_not_count_into_the_rate(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(stream, moves=True, clock=clock)
    progress.step("tracking")
    progress.update(1000, 2000)
    clock.now_s = 1.0
    progress.update(1020, 2000)
    assert "20.0 frames/s" in stream.getvalue()


def test_a_file_gets_few_lines_and_no_control_characters(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(stream, moves=False, clock=clock)
    progress.step("tracking")
    for index in range(1, 1001):
        clock.now_s = index * 0.025
        progress.update(index, 1000)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 5
    assert lines[0] == "tracking"
    assert "1000/1000" in lines[-1]
    assert stream.getvalue().isprintable() is False  # line ends, and nothing else
    assert "\r" not in stream.getvalue()
    assert "\033" not in stream.getvalue()


def test_a_terminal_keeps_one_line_and_gives_it_back(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, moves=True, clock=clock) as progress:
        progress.step("tracking")
        progress.update(1, 2)
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\033[K")
