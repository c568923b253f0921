"""Pictures of the evaluation: there, readable as PNG, and showing what they were given."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from shoal_core.errors import InvalidArgument, ResourceExhausted
from shoal_core.metrics.localization import Localization
from shoal_core.skeleton import Skeleton
from shoal_training.plots.error_circles import draw_error_circles
from shoal_training.plots.evaluation_pictures import draw_evaluation
from shoal_training.plots.loss_curves import draw_loss_curves, read_log
from shoal_training.plots.node_errors import draw_node_errors
from shoal_training.predict import Predictor
from shoal_training.scored_frames import score_frames
from tests.unit.training.painted import painted_set, painted_spec, reads_colours
from tests.unit.training.small_disk import full_disk

LOG = """epoch,steps,loss,val_loss,learning_rate,samples_per_s,seconds,is_best
1,200,0.5,0.6,0.001,80.0,10.0,1
2,400,0.2,0.3,0.001,80.0,20.0,1
3,600,0.1,,0.0005,80.0,30.0,0
"""
PINK = np.array((0xA7, 0x79, 0xCC))
"""BGR of the largest circle."""


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    # A picture of one colour would show nothing.
    assert image.std() > 5
    return image


def errors(*values: float) -> Localization:
    return Localization(np.array(values, float), len(values), len(values))


@pytest.mark.parametrize("kind", ["centroid", "centered_instance"])
def test_an_evaluation_has_its_pictures(tmp_path: Path, kind: str) -> None:
    labelled, predictor = painted_set(2), Predictor(reads_colours, painted_spec(kind))
    scored = score_frames(predictor, labelled, range(2))
    draw_evaluation(tmp_path / "plots", predictor, labelled, scored, px_per_mm=10)
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    poses = {"node_errors.png", "error_circles.png", "precision_recall.png"}
    assert names == {"confidence_0.png", "confidence_1.png"} | (
        set() if kind == "centroid" else poses
    )
    for name in names:
        read(tmp_path / "plots" / name)


def test_circles_grow_with_the_errors(tmp_path: Path) -> None:
    skeleton = Skeleton("one", ("a", "b"), ((0, 1),))
    points = np.array([[60, 60], [140, 60]], np.float32)
    image = np.zeros((120, 200, 1), np.uint8)
    widths = []
    for radius_px in (4.0, 12.0):
        of_nodes = (errors(radius_px, radius_px), errors())
        draw_error_circles(tmp_path / "circles.png", image, points, skeleton, of_nodes)
        picture = read(tmp_path / "circles.png")[100:].astype(int)
        columns = np.flatnonzero((np.abs(picture - PINK).sum(axis=2) < 20).any(axis=0))
        widths.append(int(np.ptp(columns)))
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.1)


def test_a_node_that_was_never_found_is_a_row_without_errors(tmp_path: Path) -> None:
    draw_node_errors(tmp_path / "some.png", ("a", "b"), (errors(1, 2, 3), errors()))
    draw_node_errors(tmp_path / "one.png", ("a",), (errors(1, 2, 3),))
    assert len(read(tmp_path / "some.png")) > len(read(tmp_path / "one.png"))


def test_the_course_of_a_run_comes_from_its_log(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    columns = read_log(tmp_path / "log.csv")
    assert columns["seconds"].tolist() == [10, 20, 30]
    assert np.isnan(columns["val_loss"][2])
    draw_loss_curves(tmp_path / "loss.png", columns)
    read(tmp_path / "loss.png")


@pytest.mark.parametrize(
    "text", ["", LOG.splitlines()[0], "a,b\n1,2\n", LOG.replace("0.5,0.6", "x,y")]
)
def test_what_is_no_log_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(InvalidArgument) as error:
        read_log(tmp_path / "log.csv")
    assert error.value.reason == "LOG_UNREADABLE"


def test_a_full_disk_is_told_and_leaves_no_half_picture(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(ResourceExhausted) as error:
        draw_node_errors(tmp_path / "nodes.png", ("a",), (errors(1, 2),))
    assert error.value.reason == "DISK_FULL"
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_loaded_by_drawing_only() -> None:
    code = (
        "import sys, shoal_training.plots.evaluation_pictures, shoal_training.plots.loss_curves;"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
