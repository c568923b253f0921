"""Log lines of a service: text for people, or one JSON object a line for programs.

Fields of JSON: `time` (ISO 8601, UTC), `level`, `service`, `logger`, `message`, and where there
is one `trace_id`, `method` (of the call that is being served), `reason` (of a typed error) and
`exception` (a traceback).
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from shoal_common.tracing import current_trace_id

LogFormat = Literal["text", "json"]

served_method: ContextVar[str | None] = ContextVar("shoal_served_method", default=None)
"""`/package.Service/Method` of the call that is being served."""


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without its end."""
        time = datetime.fromtimestamp(record.created, UTC)
        fields = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            "trace_id": current_trace_id(),
            "method": served_method.get(),
            "reason": getattr(record, "reason", None),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({key: value for key, value in fields.items() if value is not None})


class TextFormatter(logging.Formatter):
    """A readable line, with the trace at its end."""

    def __init__(self, service: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {service} %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Returns the line before any traceback."""
        line = super().formatMessage(record)
        trace_id = current_trace_id()
        return line if trace_id is None else f"{line} trace_id={trace_id}"


def log_to_standard_error(service: str, *, level: str, log_format: LogFormat) -> None:
    """Sends this process's log to standard error; call it once."""
    handler = logging.StreamHandler(sys.stderr)
    is_json = log_format == "json"
    handler.setFormatter(JsonFormatter(service) if is_json else TextFormatter(service))
    logging.basicConfig(level=level, handlers=[handler])
