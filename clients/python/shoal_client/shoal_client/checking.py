"""Parameters checked before anything is asked of a service."""

from shoal_client import convert
from shoal_client.parameters import InferenceParameters, WindowTracker
from shoal_common.convert_parameters import inference_settings, tracker_config
from shoal_core.errors import InvalidArgument


def check_parameters(inference: InferenceParameters, tracker: WindowTracker | None) -> None:
    """Accepts what every service accepts.

    Raises:
        InvalidArgument: PARAMETER_INVALID, naming the parameter and its range.
    """
    try:
        inference_settings(convert.inference_message(inference))
        if tracker is not None:
            tracker_config(convert.tracker_message(tracker))
    except ValueError as error:  # a whole number beyond what a message holds
        raise InvalidArgument("PARAMETER_INVALID", f"A parameter is too large: {error}.") from error
