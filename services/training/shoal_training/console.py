"""A line per epoch for whoever reads the log."""

import logging

from shoal_training.reports import EpochReport, Listener

LOGGER = logging.getLogger(__name__)


class Console(Listener):
    """Logs the end of each epoch."""

    def epoch_end(self, report: EpochReport) -> None:
        """Logs the epoch's figures."""
        validation = report.validation
        LOGGER.info(
            "epoch %d: loss %.4g, validation %s, learning rate %.2g, %.1f samples/s, %.0f s%s",
            report.epoch + 1,
            report.training.total,
            "none" if validation is None else f"{validation.total:.4g}",
            report.learning_rate,
            report.samples_per_s,
            report.seconds,
            " (best)" if report.is_best else "",
        )
