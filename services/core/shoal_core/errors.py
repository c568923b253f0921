"""The one family of errors that callers may rely on.

Every error has a stable `reason` (UPPER_SNAKE, about the caller's next action), one
sentence that names the thing and the cure, and metadata that repeats each dynamic
part of the sentence. `shoal_common.interceptors` puts them on the wire and
`shoal_common.status` takes them off again; nothing else knows about status codes.
"""

from collections.abc import Mapping
from typing import Any, Self


class ShoalError(Exception):
    """Base of all expected errors; anything else that escapes is a bug."""

    retry_after_s: float | None = None
    """When asking again makes sense, in seconds from now; None where nobody can tell."""

    def __init__(self, reason: str, message: str, /, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {key: str(value) for key, value in metadata.items()}

    def after(self, seconds: float | None) -> Self:
        """Returns the error, which says now when to ask again."""
        self.retry_after_s = seconds
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return ShoalError.from_fields, (self.to_fields(),)

    def to_fields(self) -> dict[str, Any]:
        """Returns what `from_fields` makes the same error of: JSON for files and pipes."""
        return {
            "type": type(self).__name__,
            "reason": self.reason,
            "message": self.message,
            "metadata": self.metadata,
            "retry_after_s": self.retry_after_s,
        }

    @staticmethod
    def from_fields(fields: Mapping[str, Any]) -> "ShoalError":
        """Returns the error that `to_fields` was asked of."""
        types = {error_type.__name__: error_type for error_type in ShoalError.__subclasses__()}
        error_type = types[fields["type"]]
        error = error_type(fields["reason"], fields["message"], **fields["metadata"])
        return error.after(fields.get("retry_after_s"))


class InvalidArgument(ShoalError):
    """The request can never work as it is; change it."""


class NotFound(ShoalError):
    """The named thing does not exist."""


class AlreadyExists(ShoalError):
    """The name is taken."""


class PermissionDenied(ShoalError):
    """The caller may not do this, for example read outside the allowed roots."""


class FailedPrecondition(ShoalError):
    """The system is not in the state that the request needs."""


class OutOfRange(ShoalError):
    """A valid index past the end, for example a frame outside the video."""


class ResourceExhausted(ShoalError):
    """A queue, quota or disk is full; try again later or make room."""


class Aborted(ShoalError):
    """Somebody else has taken over, for example a newer lease."""


class Cancelled(ShoalError):
    """The caller asked for the work to stop."""


class Unavailable(ShoalError):
    """The peer cannot be reached now; the call may be repeated."""


class DeadlineExceeded(ShoalError):
    """The time that the caller allowed has run out."""


class DataLoss(ShoalError):
    """Stored bytes do not match their checksum, or a file is damaged."""


class Internal(ShoalError):
    """A bug in Shoal; the details are in the service's log."""
