"""What `shoal train` asks of the training program, and what it makes of the answers."""

import json
import sys
from pathlib import Path

import pytest

from shoal_cli.main import main
from shoal_cli.training.plan import TrainRequest, checked_labels, plan_training
from shoal_cli.training.plan_text import plan_lines
from shoal_cli.training.sweep import chosen_sweep, feasible
from shoal_client import SweepAxis
from shoal_core.errors import Internal, InvalidArgument

ANSWER = {
    "labels": ["/l.slp"],
    "validation_labels": [],
    "test_labels": [],
    "kind": "single",
    "labelled_frame_count": 120,
    "stages": [
        {
            "id": "single_instance",
            "configuration": {"kind": "single_instance", "data": {"limit": None, "by": "frame"}},
            "description": {
                "parameter_count": 1300000,
                "memory_bytes": 512 * 2**20,
                "estimated_time_s": 605.0,
                "crop_size_px": None,
                "ratio": 0.51234,
            },
        }
    ],
    "warnings": ["a node is never labelled"],
}


def planner(script: str) -> list[str]:
    return [sys.executable, "-c", f"import json, sys\nrequest = json.load(sys.stdin)\n{script}"]


def test_the_program_hears_the_request_and_its_answer_is_the_plan() -> None:
    script = (
        f"answer = {ANSWER!r}\nanswer['labels'] = request['labels']\n"
        "answer['warnings'] = request['settings']\nprint(json.dumps(answer))"
    )
    request = TrainRequest(labels=("/a.slp", "/b.slp"), settings=("run.seed=1",))
    plan = plan_training(request, planner(script))
    assert plan.labels == ("/a.slp", "/b.slp")
    assert plan.warnings == ("run.seed=1",)
    spec = plan.spec(("tcp://127.0.0.1:9001",))
    assert spec.stages[0].configuration["kind"] == "single_instance"
    assert spec.monitor_endpoints == ("tcp://127.0.0.1:9001",)


def test_what_the_program_refuses_is_an_error_with_its_reason() -> None:
    refusal = InvalidArgument("CONFIG_INVALID", "No such key.").to_fields()
    script = f"print(json.dumps({{'error': {refusal!r}}}))"
    with pytest.raises(InvalidArgument, match="No such key") as caught:
        plan_training(TrainRequest(labels=("/a.slp",)), planner(script))
    assert caught.value.reason == "CONFIG_INVALID"


def test_a_program_that_dies_is_told_with_its_last_words() -> None:
    with pytest.raises(Internal, match="no disk"):
        plan_training(TrainRequest(labels=()), planner("sys.exit('no memory\\nno disk')"))


def test_a_plan_reads_as_figures_with_units_and_settings_to_copy() -> None:
    plan = plan_training(
        TrainRequest(labels=("/l.slp",)), planner(f"print(json.dumps({ANSWER!r}))")
    )
    assert plan_lines(plan) == [
        "single, 120 labelled frames",
        "  labels /l.slp",
        "",
        "single_instance",
        "  parameter_count    1,300,000",
        "  memory_bytes       512 MiB",
        "  estimated_time_s   10:05",
        "  crop_size_px       -",
        "  ratio              0.5123",
        "  configuration",
        '    kind="single_instance"',
        "    data.limit=null",
        '    data.by="frame"',
    ]
    assert json.loads(json.dumps(plan.stages[0].configuration)) == plan.stages[0].configuration


def test_labels_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "there.slp").touch()
    with pytest.raises(InvalidArgument, match=r"gone\.slp"):
        checked_labels([str(tmp_path / "there.slp"), str(tmp_path / "gone.slp")])


def test_values_of_a_sweep_are_json_and_words_are_strings() -> None:
    sweep = chosen_sweep(
        ["data.limit=5,10", "network.type=unet,leap", "run.deterministic=true"],
        None,
        metric="map",
        minimise=False,
    )
    assert sweep.axes == (
        SweepAxis("data.limit", (5, 10)),
        SweepAxis("network.type", ("unet", "leap")),
        SweepAxis("run.deterministic", (True,)),
    )
    assert sweep.title == "data.limit"


def test_a_study_can_be_crossed_with_a_sweep() -> None:
    sweep = chosen_sweep(["run.seed=0,1"], "sample-efficiency", metric="map", minimise=False)
    assert [axis.key for axis in sweep.axes] == ["data.limit", "run.seed"]
    assert sweep.axes[0].values == (5, 10, 20, 50, 100, 200)


def test_limits_above_the_labelled_frames_are_left_out_with_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep = chosen_sweep(["run.seed=7"], "sample-efficiency", metric="map", minimise=False)
    first, second = feasible(sweep, 60).axes
    assert first.values == (5, 10, 20, 50)
    assert second.values == (7,)
    assert "data.limit 100, 200 is left out" in capsys.readouterr().err
    with pytest.raises(InvalidArgument, match="label more"):
        feasible(sweep, 4)


@pytest.mark.parametrize("text", ["data.limit", "=5", "data.limit="])
def test_a_sweep_without_values_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="KEY=V1,V2"):
        chosen_sweep([text], None, metric="map", minimise=False)


def test_a_folder_is_needed_unless_only_the_plan_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (labels := tmp_path / "l.slp").touch()
    assert main(["train", str(labels)]) == 1
    assert "add -o DIR, or --plan" in capsys.readouterr().err
