"""What people see of a training job, in a terminal and in a file."""

import datetime
import io

import pytest

from shoal_cli.training.screen import BlockScreen, LineScreen
from shoal_cli.training.story import TrainingStory, epoch_text
from shoal_cli.training.view import curve_text, view_lines
from shoal_client import (
    AttemptBegun,
    AttemptEnd,
    AttemptEnded,
    EpochEnded,
    Evaluated,
    JobEvent,
    JobState,
    Measurement,
    StageProgress,
    StageState,
    TrainingJob,
    TrainingNews,
)

NOW = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)


def measured(epoch: int, loss: float, validation: float | None = None) -> Measurement:
    return Measurement(
        epoch=epoch,
        step=50 * (epoch + 1),
        epoch_count=10,
        loss=loss,
        validation_loss=validation,
        learning_rate=0.002,
        samples_per_second=80.4,
        remaining_s=65.0,
    )


def told(
    *what: object, states: dict[str, StageState], last: Measurement | None = None, attempt: int = 1
) -> TrainingNews:
    """News about the first stage of `states`; events are numbered by the story's own count."""
    stages = tuple(
        StageProgress(name, state, last, None, attempt, stop_requested=False)
        for name, state in states.items()
    )
    first = next(iter(states))
    events = tuple(
        JobEvent(number, NOW, first, attempt, each)  # type: ignore[arg-type]
        for number, each in enumerate(what, start=1)
    )
    job = TrainingJob("projects/p/jobs/j", JobState.RUNNING, ("/l.slp",), stages, None, NOW, None)
    return TrainingNews(job, events)


def two_stages() -> TrainingStory:
    story = TrainingStory()
    running = {"centroid": StageState.RUNNING, "centered_instance": StageState.PENDING}
    epochs = [
        EpochEnded(measured(index, 0.4 / 2**index, 0.5 / 2 ** min(index, 3))) for index in range(5)
    ]
    story.hear(told(*epochs, states=running, last=measured(5, 0.011)))
    return story


def test_a_terminal_shows_curves_speed_and_what_is_left() -> None:
    assert view_lines(two_stages(), 120) == [
        "centroid ████████████············ epoch 6/10 · 80 samples/s · learning rate 0.002 · "
        "1:05 left",
        "  loss       0.011     █▆▅▃▁",
        "  validation 0.0625    █▆▃▁▁ best 0.0625 in epoch 4",
        "centered_instance: waits",
    ]


def test_a_stage_that_is_done_tells_its_result_in_one_line() -> None:
    story = two_stages()
    story.hear(
        told(Evaluated({"poses.map": 0.91, "x": 3.0}), states={"centroid": StageState.SUCCEEDED})
    )
    assert view_lines(story, 120) == [
        "centroid: done after 5 epochs, validation 0.0625 · mAP 0.910",
        "centered_instance: waits",
    ]


def test_no_line_is_wider_than_the_terminal() -> None:
    assert max(map(len, view_lines(two_stages(), 30))) == 30


def test_a_file_gets_a_line_for_each_epoch() -> None:
    stream = io.StringIO()
    screen, story = LineScreen(stream), TrainingStory()
    running = {"model": StageState.RUNNING}
    news = told(
        AttemptBegun("w", resumes=False), EpochEnded(measured(0, 0.25, 0.5)), states=running
    )
    screen.show(story, story.hear(news))
    screen.show(story, story.hear(told(states=running, last=measured(1, 0.2))))
    screen.close()
    assert stream.getvalue() == (
        "model: epoch 1/10 · loss 0.25 · validation 0.5 · learning rate 0.002 · 80 samples/s\n"
    )


def test_what_was_not_measured_is_left_out() -> None:
    assert epoch_text("m", Measurement(epoch=2, step=9, epoch_count=0, loss=0.5)) == (
        "m: epoch 3 · loss 0.5"
    )


def test_a_lost_trainer_and_its_successor_are_told() -> None:
    story = TrainingStory()
    running = {"model": StageState.RUNNING}
    lost = AttemptEnded(AttemptEnd.LOST, "The trainer died.")
    assert story.hear(told(lost, states=running)) == ["model: The trainer died."]
    assert story.hear(told(AttemptBegun("w", resumes=True), states=running, attempt=2)) == [
        "model: attempt 2 goes on from its last checkpoint"
    ]


def test_an_attempt_that_repeats_epochs_replaces_them() -> None:
    story = two_stages()
    again = EpochEnded(measured(2, 0.3, 0.3))
    story.hear(told(again, states={"centroid": StageState.RUNNING}, attempt=2))
    assert story.stages["centroid"].losses() == [0.4, 0.2, 0.3]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], ""),
        ([1.0], ""),
        ([1.0, 1.0], "▁▁"),
        ([100.0, 10.0, 1.0], "█▅▁"),
        ([1.0, 0.0], ""),
        ([2.0] * 400, "▁" * 32),
    ],
)
def test_a_curve_is_logarithmic_and_of_bounded_length(values: list[float], text: str) -> None:
    assert curve_text(values) == text


def test_a_terminal_redraws_in_place_and_lines_that_stay_go_above() -> None:
    stream = io.StringIO()
    now_s = [0.0]
    screen = BlockScreen(stream, width=lambda: 80, clock=lambda: now_s[0])
    story = two_stages()
    screen.show(story, [])
    screen.show(story, [])  # too soon to be drawn again
    assert stream.getvalue().count("centroid ") == 1
    screen.say("finishing")
    now_s[0] = 1.0
    screen.show(story, [])
    screen.close()
    assert _screen_of(stream.getvalue()) == ["finishing", *view_lines(story, 80)]


def _screen_of(text: str) -> list[str]:
    """What a terminal shows after `text`: lines, cursor up and erase-below."""
    lines, row = [""], 0
    position = 0
    while position < len(text):
        if text[position] == "\033":
            end = next(index for index in range(position + 2, len(text)) if text[index].isalpha())
            if text[end] == "A":
                row -= int(text[position + 2 : end])
            else:
                assert text[end] == "J"
                lines[row:] = [""]
            position = end
        elif text[position] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif text[position] != "\r":
            lines[row] += text[position]
        position += 1
    return lines[:-1]
