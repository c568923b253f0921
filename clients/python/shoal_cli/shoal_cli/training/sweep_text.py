"""Results of a sweep as a table."""

from shoal_cli.table import table_text
from shoal_cli.training.studies import value_text
from shoal_client import TrainingSweep


def sweep_table(sweep: TrainingSweep) -> str:
    """Returns a line for each trial, the best one marked."""
    header = (*(axis.key for axis in sweep.axes), sweep.metric, "STATE", "JOB", "")
    rows = [
        (
            *map(value_text, trial.values),
            "-" if trial.metric_value is None else f"{trial.metric_value:.4f}",
            trial.state.value,
            trial.job.rpartition("/")[2],
            "best" if index == sweep.best_trial_index else "",
        )
        for index, trial in enumerate(sweep.trials)
    ]
    return table_text(header, rows)
