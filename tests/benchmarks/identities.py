"""Identities of the bottom-up ID model on a whole recording, against SLEAP and the labels.

`make identities` tracks all 1,500 frames of `flies_clip/clip.mp4` as a user would, and compares
with what SLEAP 1.4 predicted from the same file and with the proofread labels of frames 0 to 999.

Two animals are the same where they lie nearest to each other: the animals of a frame are paired
so that the summed distance of their nodes is smallest, and identities are equal where both of a
pair bear the same name.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import sleap_io
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

CLIP = Path(__file__).resolve().parents[3] / "shared" / "data" / "flies_clip"
MODEL = CLIP.parent / "models" / "min_tracks_2node.UNet.bottomup_multiclass"
FRAME_COUNT, CLASSES = 1500, ("female", "male")
SLEAP_SHIFT_PX = 0.5
"""What SLEAP adds to x and y of a network whose input is scaled; see `model_import`."""

Points = NDArray[np.float64]
"""[F, K, N, 2]: frames, identities, nodes; NaN where there is none."""


def read_points(path: Path) -> Points:
    """Returns the points of a file by frame and identity."""
    labels = sleap_io.load_slp(str(path), open_videos=False)
    points_FKN2 = np.full((FRAME_COUNT, len(CLASSES), len(labels.skeleton.nodes), 2), np.nan)
    for frame in labels:
        for instance in frame.instances:
            if instance.track is not None:
                points_FKN2[frame.frame_idx, CLASSES.index(instance.track.name)] = instance.numpy()
    return points_FKN2


def pair_identities(ours: Points, theirs: Points) -> tuple[int, int, NDArray[np.float64]]:
    """Returns equal identities, their instances, and the distance of each pair in pixels."""
    equal, total, distances = 0, 0, []
    for mine_KN2, other_KN2 in zip(ours, theirs, strict=True):
        mine, other = _present(mine_KN2), _present(other_KN2)
        total += len(other)
        cost = np.array([[_distance(mine_KN2[k], other_KN2[j]) for k in mine] for j in other])
        if cost.size == 0:
            continue
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            equal += other[row] == mine[column]
            distances.append(cost[row, column])
    return equal, total, np.array(distances)


def _present(points_KN2: Points) -> NDArray[np.intp]:
    return np.flatnonzero(~np.isnan(points_KN2[..., 0]).all(axis=1))


def _distance(mine_N2: Points, other_N2: Points) -> float:
    """Returns the mean distance of the nodes that both have, or else of their centroids."""
    apart_N = np.linalg.norm(mine_N2 - other_N2, axis=1)
    if np.isnan(apart_N).all():
        return float(np.linalg.norm(np.nanmean(mine_N2, axis=0) - np.nanmean(other_N2, axis=0)))
    return float(np.nanmean(apart_N))


def track(output: Path, *options: str) -> Points:
    """Returns the poses of the recording, tracked by the command."""
    command = [Path(sys.executable).parent / "shoal", "track", CLIP / "clip.mp4", "-m", MODEL]
    subprocess.run([*command, "-o", output, *options], check=True, stdout=subprocess.DEVNULL)
    return read_points(output)


def main() -> None:
    """Prints every figure."""
    sleap, truth = (
        read_points(CLIP / "clip.predictions.slp"),
        read_points(CLIP / "clip.2node.train.slp"),
    )
    with tempfile.TemporaryDirectory() as folder:
        ours = track(Path(folder) / "tracked.slp")
        surer = track(Path(folder) / "surer.slp", "--peak-value-weight", "0.0001")
    equal, total, distance_px = pair_identities(ours, sleap)
    print(f"identities equal to SLEAP's: {equal} of {total} instances, {equal / total:.2%}")
    print(f"median distance of paired instances: {np.median(distance_px):.3f} px")
    _, _, distance_px = pair_identities(ours + SLEAP_SHIFT_PX, sleap)
    print(f"… with the {SLEAP_SHIFT_PX} px that SLEAP adds: {np.median(distance_px):.3f} px")
    for title, points in (
        ("SLEAP", sleap),
        ("Shoal", ours),
        ("Shoal with --peak-value-weight 0.0001", surer),
    ):
        apart_px = np.linalg.norm(points - truth, axis=-1)[~np.isnan(truth[..., 0])]
        print(
            f"{title}: {(apart_px <= 10).mean():.1%} of the labelled nodes within 10 px under "
            f"their own identity, median {np.nanmedian(apart_px):.2f} px"
        )


if __name__ == "__main__":
    main()
