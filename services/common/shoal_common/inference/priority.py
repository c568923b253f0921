"""Which of two waiting requests an engine takes first."""

from enum import Enum


class Priority(Enum):
    """Value of the Open Inference parameter `priority`; smaller goes first, as in Triton."""

    LIVE = 1
    """Somebody waits for this very frame."""
    BATCH = 2
    """Only the sum of all frames matters."""
