"""Precision against recall, at each similarity threshold."""

from pathlib import Path

from shoal_core.metrics.average_precision import RECALLS_R, THRESHOLDS_T, AveragePrecision
from shoal_training.plots.picture import picture


def draw_precision_recall(path: Path, ranked: AveragePrecision) -> None:
    """Draws one curve per OKS threshold, and the means over them in the title.

    Args:
        path: of the PNG file.
        ranked: of `metrics.evaluation.oks_precision`, over the usual thresholds.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    from matplotlib import colormaps

    with picture(path, 6.0, 4.4) as figure:
        axes = figure.add_subplot()
        # Viridis is told apart without colours as well; its bright end is not used.
        shades = colormaps["viridis"]
        for index, (threshold, curve_R) in enumerate(
            zip(THRESHOLDS_T, ranked.curves_TR, strict=True)
        ):
            shade = shades(0.9 * index / (len(THRESHOLDS_T) - 1))
            label = f"{threshold:.2f}   AP {curve_R.mean():.2f}"
            axes.plot(RECALLS_R, curve_R, color=shade, linewidth=1.8, label=label)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.grid(color="0.9")
        axes.legend(
            title="OKS at least", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
        )
        axes.set_title(f"mAP {ranked.map:.3f},  mAR {ranked.mar:.3f}", fontsize=11)
