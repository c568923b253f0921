"""How right predictions are: poses (OKS, average precision, localisation) and identities."""

from shoal_core.metrics.evaluation import PoseAccuracy, evaluate, pair_frames

__all__ = ["PoseAccuracy", "evaluate", "pair_frames"]
