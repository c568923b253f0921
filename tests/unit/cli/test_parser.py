"""What can be typed, and what a typing error looks like."""

import subprocess
import sys

import pytest

from shoal_cli.parser import build_parser, with_dashes

HEAVY = ("grpc", "google.protobuf", "numpy", "cv2", "av", "sleap_io", "rich", "yaml", "asyncio")


def test_building_the_parser_imports_nothing_heavy() -> None:
    program = (
        "import sys; from shoal_cli.main import build_parser; build_parser().format_help();"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.stdout == "[]\n", answer.stderr


def test_track_takes_what_the_manual_promises() -> None:
    line = (
        "track a.mp4 b.mp4 -m one -m two -o out/ --frames 0-255 --tracker window --animals 2 "
        "--max-instances 3 --batch-size 8 --peak-threshold 0.3 --centroids c.slp --config c.json "
        "--save-config s.json"
    )
    arguments = build_parser().parse_args(line.split())
    assert arguments.videos == ["a.mp4", "b.mp4"]
    assert arguments.models == ["one", "two"]
    assert (arguments.animals, arguments.max_instances, arguments.batch_size) == (2, 3, 8)
    assert arguments.peak_threshold == 0.3


def test_options_may_be_written_as_sleap_writes_them() -> None:
    line = "track v_1.mp4 -o o_1.slp --max_instances 2 --min_line_scores=-0.5 --n_points 5"
    arguments = build_parser().parse_args([with_dashes(word) for word in line.split()])
    assert (arguments.videos, arguments.output) == (["v_1.mp4"], "o_1.slp")
    assert (arguments.max_instances, arguments.min_line_scores, arguments.n_points) == (2, -0.5, 5)
    assert with_dashes("--output=my_file.slp") == "--output=my_file.slp"


@pytest.mark.parametrize(
    "line",
    [
        "models import a b --name n",
        "models list",
        "models show n",
        "models rm n",
        "eval gt.slp pr.slp --json f.json",
        "render v.mp4 p.slp -o o.mp4",
        "up --first-port 9000 --root /data",
        "down",
        "status",
        "doctor",
    ],
)
def test_every_command_can_be_typed(line: str) -> None:
    assert callable(build_parser().parse_args(line.split()).run)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "tarck",
        "track",
        "track v.mp4",
        "track v.mp4 -o o.slp --animals 0",
        "track v.mp4 -o o.slp --batch-size two",
        "track v.mp4 -o o.slp --peak-threshold -1",
        "track v.mp4 -o o.slp --peak-threshold nan",
        "track v.mp4 -o o.slp --tracker flow",
        "track v.mp4 -o o.slp --min-line-scores 1.5",
        "track v.mp4 -o o.slp --filter-overlapping-method giou",
        "track v.mp4 -o o.slp --frames 1 --only-labeled-frames",
        "track v.mp4 -o o.slp --unknown",
        "render v.mp4 p.slp -o o.mp4 --trail -3",
    ],
)
def test_a_typing_error_is_one_line_and_status_2(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(line.split())
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("shoal: ")
    assert said.count("\n") == 1
    assert "--help" in said
