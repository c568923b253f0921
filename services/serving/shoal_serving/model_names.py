"""Names that models may have."""

from shoal_common import names
from shoal_core.errors import InvalidArgument

TRIAL_PREFIX = "shoal-trial-"
"""Of versions that are tried: what no other name begins with."""


def check_model_id(model_id: str) -> str:
    """Returns the name if a model may be imported under it.

    Raises:
        InvalidArgument: NAME_INVALID.
    """
    if model_id.startswith(TRIAL_PREFIX):
        raise InvalidArgument(
            "NAME_INVALID",
            f"Names that begin with {TRIAL_PREFIX!r} are Shoal's own; take another one.",
            name=model_id,
        )
    return names.check_id("model", model_id)
