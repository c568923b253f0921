"""Average precision and recall over similarity thresholds.

Axis legend: I true instances and J predicted instances of a frame, T similarity thresholds,
D predictions of all frames, R recall levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument

Array = NDArray[np.floating[Any]]

THRESHOLDS_T: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
RECALLS_R: NDArray[np.float64] = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class AveragePrecision:
    """Precision and recall at each threshold, 0 to 1."""

    curves_TR: NDArray[np.float64]
    """Best precision at that recall or more, at each of `RECALLS_R`; 0 where never reached."""
    recall_T: NDArray[np.float64]
    """Fraction of true instances found."""

    @property
    def precision_T(self) -> NDArray[np.float64]:
        """Mean over the recall levels of the best precision at that recall or more."""
        return np.asarray(self.curves_TR.mean(axis=1))

    @property
    def map(self) -> float:
        """Mean average precision over the thresholds."""
        return float(self.precision_T.mean())

    @property
    def mar(self) -> float:
        """Mean average recall over the thresholds."""
        return float(self.recall_T.mean())


def average_precision(
    frames: Sequence[tuple[Array, Array]],
    thresholds_T: NDArray[np.float64] = THRESHOLDS_T,
) -> AveragePrecision:
    """Returns precision and recall of scored predictions (SLEAP's "Accuracy metrics", COCO).

    Per frame and threshold, predictions in order of falling score each take the most similar
    true instance that is still free and reaches the threshold; then all frames' predictions
    are ranked together. Predictions that found nothing count as false positives, as the paper
    and COCO have it (SLEAP's software leaves out those that are left when every true instance
    of a frame is taken).

    Args:
        frames: per frame the similarities (I, J), for example `oks`, and the scores (J,).
        thresholds_T: similarity thresholds, 0.50 to 0.95.

    Raises:
        InvalidArgument: NO_GROUND_TRUTH when no frame has a true instance.
    """
    truth_count = sum(similarity_IJ.shape[0] for similarity_IJ, _ in frames)
    if not truth_count:
        raise InvalidArgument(
            "NO_GROUND_TRUTH", "There is no true instance to compare with; label some frames."
        )
    scores_D = np.concatenate([scores_J for _, scores_J in frames])
    hits_TD = np.concatenate(
        [_hits(similarity_IJ, scores_J, thresholds_T) for similarity_IJ, scores_J in frames], axis=1
    )
    hits_TD = hits_TD[:, np.argsort(-scores_D, kind="stable")]
    curves = [_curve(hits_D, truth_count) for hits_D in hits_TD]
    return AveragePrecision(
        curves_TR=np.stack([curve_R for curve_R, _ in curves]),
        recall_T=np.array([recall for _, recall in curves]),
    )


def _hits(
    similarity_IJ: Array, scores_J: Array, thresholds_T: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which predictions (T, J) find a true instance at each threshold."""
    hits_TJ = np.zeros((len(thresholds_T), len(scores_J)), bool)
    if not similarity_IJ.size:
        return hits_TJ
    for row, threshold in enumerate(thresholds_T):
        free_I = np.ones(len(similarity_IJ), bool)
        for prediction in np.argsort(-scores_J, kind="stable"):
            similarity_I = np.where(free_I, similarity_IJ[:, prediction], -1)
            best = int(similarity_I.argmax())
            if similarity_I[best] >= threshold:
                free_I[best] = False
                hits_TJ[row, prediction] = True
    return hits_TJ


def _curve(hits_D: NDArray[np.bool_], truth_count: int) -> tuple[NDArray[np.float64], float]:
    """Precision at each recall level, and final recall, of ranked predictions."""
    curve_R = np.zeros(len(RECALLS_R))
    if not len(hits_D):
        return curve_R, 0.0
    found_D = hits_D.cumsum()
    recall_D = found_D / truth_count
    precision_D = found_D / np.arange(1, len(hits_D) + 1)
    envelope_D = np.maximum.accumulate(precision_D[::-1])[::-1]
    # Recalls are counts over a count: a hair's breadth keeps 0.29 from missing 29 of 100.
    at_R = np.searchsorted(recall_D, RECALLS_R - 1e-12, side="left")
    reached_R = at_R < len(hits_D)
    curve_R[reached_R] = envelope_D[at_R[reached_R]]
    return curve_R, float(recall_D[-1])
