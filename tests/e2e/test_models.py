"""`shoal models tune|compare|export|promote|rollback` as a user runs them."""

import json
from pathlib import Path

from shoal_common.inference.tuning import BACKENDS
from tests.e2e.shoal_command import shoal


def test_a_model_is_tuned_shown_and_pinned(home: Path, video: Path, tmp_path: Path) -> None:
    tuned = shoal(home, "models", "tune", "pair", video)
    assert tuned.returncode == 0, tuned.stderr
    assert "measured on" in tuned.stdout
    for backend in BACKENDS:
        assert backend in tuned.stdout
    assert sum("*" in line for line in tuned.stdout.splitlines()) == 1

    shown = shoal(home, "models", "show", "pair")
    for line in tuned.stdout.splitlines()[1:]:
        assert line.strip() in shown.stdout

    pinned = shoal(home, "models", "tune", "pair", "--backend", "openvino-fp32")
    assert "runs bottomup in openvino-fp32 (pinned)" in pinned.stdout

    out = tmp_path / "out.slp"
    tracked = shoal(home, "track", video, "-m", "pair", "-o", out, "--frames", "0-19")
    assert tracked.returncode == 0, tracked.stderr
    assert out.is_file()


def test_a_wrong_request_is_one_line(home: Path, video: Path) -> None:
    for arguments, words in [
        (("pair",), "Give a video to measure on, or --backend"),
        (("pair", video, "--backend", "openvino-fp32"), "not both"),
        (("pair", "--backend", "tensorrt"), "There is no backend 'tensorrt'"),
        (("pair", "nowhere.mp4"), "nowhere.mp4"),
        (("nobody", video), "There is no model 'nobody'"),
    ]:
        refused = shoal(home, "models", "tune", *arguments)
        assert refused.returncode != 0
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_model_is_compared_and_exported(home: Path, video: Path, tmp_path: Path) -> None:
    table = shoal(home, "models", "compare", "pair", "pair", video)
    assert table.returncode == 0, table.stderr
    assert "0 px apart in the median" in table.stdout
    compared = shoal(home, "models", "compare", "pair", "pair", video, "--json")
    document = json.loads(compared.stdout)
    assert document["p99_px"] == 0
    assert document["matched_instance_count"] == document["models"][0]["instance_count"] > 0

    for export_format, files in [
        ("onnx", {"model.onnx", "contract.json", "example.py"}),
        ("triton", {"pair"}),
    ]:
        out = tmp_path / export_format
        done = shoal(home, "models", "export", "pair", "-o", out, "--format", export_format)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in out.iterdir()} == files
    again = shoal(home, "models", "export", "pair", "-o", tmp_path / "onnx")
    assert again.returncode != 0
    assert "is there already" in again.stderr


def test_an_alias_is_promoted_and_rolled_back(home: Path, shared_data: Path) -> None:
    other = shared_data / "models" / "minimal_instance.UNet.centroid"
    assert shoal(home, "models", "import", other, "--name", "pair").returncode == 0
    for arguments, answer in [
        (("promote", "pair", "staging"), "pair@staging → version 2"),
        (("promote", "pair", "prod", "--version", "1"), "pair@prod → version 1"),
        (("promote", "pair@staging", "prod"), "pair@prod → version 2 (before: 1)"),
        (("rollback", "pair@prod"), "pair@prod → version 1"),
    ]:
        done = shoal(home, "models", *arguments)
        assert done.stdout.strip() == answer, done.stderr
    for arguments, words in [
        (("rollback", "pair@prod"), "has named version 1 only"),
        (("rollback", "pair"), "write pair@prod"),
        (("promote", "pair@nothing", "prod"), "has no alias 'nothing'"),
        (("promote", "pair", "prod", "--version", "9"), "no version 9"),
    ]:
        refused = shoal(home, "models", *arguments)
        assert refused.returncode != 0
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr
