"""What `shoal train --plan` prints."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shoal_cli.progress import duration_text
from shoal_cli.training.plan import TrainPlan


def plan_lines(plan: TrainPlan) -> list[str]:
    """Returns the plan for people: labels, then each stage with its resolved configuration."""
    lines = [f"{plan.kind}, {plan.labelled_frame_count} labelled frames"]
    lines += [f"  labels {path}" for path in plan.labels]
    for stage in plan.stages:
        lines += ["", stage.id, *_description_lines(plan.descriptions.get(stage.id, {}))]
        lines += ["  configuration", *_configuration_lines(stage.configuration)]
    return lines


def _description_lines(described: Mapping[str, Any]) -> list[str]:
    return [f"  {name:<18} {_text(name, value)}" for name, value in described.items()]


def _text(name: str, value: Any) -> str:
    """Returns a figure with its unit, which its name ends in."""
    text = str(value)
    if value is None:
        text = "-"
    elif name.endswith("_s"):
        text = duration_text(value)
    elif name.endswith("_bytes"):
        text = f"{value / 2**20:,.0f} MiB"
    elif isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(map(str, value))
    return text


def _configuration_lines(configuration: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns KEY=VALUE of every value, as `--set` takes them."""
    lines = []
    for key, value in configuration.items():
        if isinstance(value, Mapping):
            lines += _configuration_lines(value, f"{prefix}{key}.")
        else:
            lines.append(f"    {prefix}{key}={json.dumps(value)}")
    return lines
