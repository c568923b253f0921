"""Errors on the wire: `ShoalError` ↔ `google.rpc.Status` with one `ErrorInfo`.

An error that says when to ask again carries a `RetryInfo` besides.

| error              | status code         |
|--------------------|---------------------|
| InvalidArgument    | INVALID_ARGUMENT    |
| NotFound           | NOT_FOUND           |
| AlreadyExists      | ALREADY_EXISTS      |
| PermissionDenied   | PERMISSION_DENIED   |
| FailedPrecondition | FAILED_PRECONDITION |
| OutOfRange         | OUT_OF_RANGE        |
| ResourceExhausted  | RESOURCE_EXHAUSTED  |
| Aborted            | ABORTED             |
| Cancelled          | CANCELLED           |
| Unavailable        | UNAVAILABLE         |
| DeadlineExceeded   | DEADLINE_EXCEEDED   |
| DataLoss           | DATA_LOSS           |
| Internal           | INTERNAL            |

Lost at the boundary: the traceback and the chained cause; they stay in the service's log.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from shoal_core import errors

DOMAIN = "shoal"

_DETAILS_KEY = "grpc-status-details-bin"
_TOO_LARGE = re.compile(r"message larger than max \((\d+) vs\. (\d+)\)")
"""What gRPC itself says, at either end; it has no code of its own for that."""

_CODES: dict[type[errors.ShoalError], int] = {
    errors.InvalidArgument: code_pb2.INVALID_ARGUMENT,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.AlreadyExists: code_pb2.ALREADY_EXISTS,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.OutOfRange: code_pb2.OUT_OF_RANGE,
    errors.ResourceExhausted: code_pb2.RESOURCE_EXHAUSTED,
    errors.Aborted: code_pb2.ABORTED,
    errors.Cancelled: code_pb2.CANCELLED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    errors.DataLoss: code_pb2.DATA_LOSS,
    errors.Internal: code_pb2.INTERNAL,
}
_TYPES = {code: error_type for error_type, code in _CODES.items()}


def to_status(error: errors.ShoalError) -> status_pb2.Status:
    """Returns the wire form of an error."""
    status = status_pb2.Status(code=_CODES[type(error)], message=error.message)
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    )
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        status.details.add().Pack(retry)
    return status


def from_status(status: status_pb2.Status) -> errors.ShoalError:
    """Returns the error that `to_status` put on the wire."""
    info = error_details_pb2.ErrorInfo(reason="UNKNOWN")
    retry = error_details_pb2.RetryInfo()
    retry_after_s = None
    for detail in status.details:
        detail.Unpack(info)
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    error_type = _TYPES.get(status.code, errors.Internal)
    error = error_type(info.reason, status.message).after(retry_after_s)
    error.metadata = dict(info.metadata)
    return error


def from_rpc_error(error: grpc.RpcError, peer: str) -> errors.ShoalError:
    """Returns the typed error behind a failed call to `peer`.

    A status without details comes from gRPC itself, not from a service of Shoal: the peer
    cannot be reached, the deadline has passed, or the server speaks another protocol.
    """
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return errors.Internal("UNKNOWN", f"The call to {peer} failed: {error!r}.", peer=peer)
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            return from_status(status_pb2.Status.FromString(value))
    code = error.code()
    too_large = _TOO_LARGE.search(error.details() or "")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and too_large is not None:
        return _message_too_large(int(too_large[1]), int(too_large[2]), peer)
    if code is grpc.StatusCode.CANCELLED:
        # Nobody here has cancelled it (that raises CancelledError): the peer is going down.
        code = grpc.StatusCode.UNAVAILABLE
    error_type = _TYPES.get(code.value[0], errors.Internal)
    details = (error.details() or "no details").splitlines()[0]
    return error_type(code.name, f"The call to {peer} failed: {details}.", peer=peer)


def _message_too_large(size_bytes: int, limit_bytes: int, peer: str) -> errors.ResourceExhausted:
    return errors.ResourceExhausted(
        "MESSAGE_TOO_LARGE",
        f"A message of {size_bytes} bytes to or from {peer} is over the limit of {limit_bytes} "
        "bytes; put less into one message, or name large things by reference.",
        peer=peer,
        size_bytes=size_bytes,
        limit_bytes=limit_bytes,
    )


@contextmanager
def typed_errors(peer: str) -> Iterator[None]:
    """Turns the gRPC errors of calls to `peer` into typed ones."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error, peer) from error


def from_os_error(error: OSError) -> errors.ShoalError | None:
    """Returns the typed error of a full disk or a forbidden file; None for anything else."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.ResourceExhausted(
            "DISK_FULL",
            f"The disk is full while writing {error.filename or 'a file'}; make room and retry.",
            path=error.filename or "",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return errors.PermissionDenied(
            "FILE_FORBIDDEN",
            f"{error.filename} cannot be opened; check its permissions.",
            path=error.filename or "",
        )
    return None
