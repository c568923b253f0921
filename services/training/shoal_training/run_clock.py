"""The time that a run has used, over all its starts, and what is left of its budget."""

import math
from collections.abc import Callable


class RunClock:
    """Counts seconds and keeps some back for what comes after training."""

    def __init__(self, budget_s: float | None, clock: Callable[[], float]) -> None:
        """Takes the budget (None: no end) and what gives monotonic seconds."""
        self._budget_s = math.inf if budget_s is None else budget_s
        self._clock = clock
        self._begin_s = clock()
        self._reserve_s = 0.0
        self._measured = False

    @property
    def seconds(self) -> float:
        """Time used so far."""
        return self._clock() - self._begin_s

    @property
    def progress(self) -> float:
        """How much of the time for training is over, 0 to 1; 0 without a budget."""
        if math.isinf(self._budget_s):
            return 0.0
        # However long a validation takes, half of the time is for training.
        usable_s = self._budget_s - min(self._reserve_s, self._budget_s / 2)
        return min(1.0, self.seconds / usable_s)

    @property
    def is_over(self) -> bool:
        """Whether training has to end now, so that what comes after it fits."""
        return self.progress >= 1

    def restore(self, seconds: float) -> None:
        """Goes on at `seconds`."""
        self._begin_s = self._clock() - seconds

    def expect(self, batch_s: float, validation_batches: int) -> None:
        """Keeps time back for a validation that was not measured yet.

        Args:
            batch_s: Time that training takes for a batch; without gradients it is about a third.
            validation_batches: Batches of the validation.
        """
        if not self._measured:
            self._reserve_s = 2 * validation_batches * batch_s / 3

    def keep_back(self, validation_s: float) -> None:
        """Keeps time for one more validation, and as much for the evaluation after it."""
        longest_s = self._reserve_s if self._measured else 0.0
        self._reserve_s, self._measured = max(longest_s, 2 * validation_s), True
