"""The child process that reads and writes SLEAP files, and how the service talks to it.

A process of its own, because HDF5 crashes on some damaged files, sleap-io holds the interpreter
for long, and what an export was given in memory comes back at its end. It reads one JSON line
from standard input, answers with one on standard output, and ends when its input is closed.

    python -m shoal_labels.slp_child export|import
"""

import asyncio
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from shoal_common.status import from_os_error
from shoal_core import errors
from shoal_labels.label_sets import LabelSet, LabelSetKey, Segment

Task = Literal["export", "import"]

ANALYSIS_SUFFIX = ".h5"
"""Of files in SLEAP's analysis format; others are SLEAP projects."""


class ChildDied(Exception):
    """The child ended without an answer; `returncode` is negative if a signal killed it."""

    def __init__(self, returncode: int) -> None:
        super().__init__(f"the child process ended with status {returncode}")
        self.returncode = returncode


async def run(task: Task, request: Mapping[str, Any]) -> Any:
    """Runs a task in a child process and returns its answer; cancelling kills the child.

    Raises:
        ShoalError: What the task raised.
        ChildDied: When there is no answer.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # modules of the folder that the service was started in are none of ours
        "-m",
        __name__,
        task,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=256 * 1024 * 1024,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await _exchange_lines(process.stdin, process.stdout, json.dumps(request).encode())
        returncode = await process.wait()
    except BaseException:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise
    if not line.endswith(b"\n"):
        raise ChildDied(returncode)
    answer = json.loads(line)
    if "error" in answer:
        raise errors.ShoalError.from_fields(answer["error"])
    return answer["result"]


async def _exchange_lines(
    writer: asyncio.StreamWriter, reader: asyncio.StreamReader, line: bytes
) -> bytes:
    """Sends a line and returns the answer; empty if the child dies before."""
    try:
        writer.write(line + b"\n")
        answer = await reader.readline()
        writer.close()
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    return answer


def label_set_to_json(label_set: LabelSet) -> dict[str, Any]:
    """Returns a label set for the pipe."""
    return {
        "key": asdict(label_set.key),
        "texts": label_set.to_json(),
        "create_time_us": label_set.create_time_us,
    }


def label_set_from_json(value: Mapping[str, Any]) -> LabelSet:
    """Returns the label set that came over the pipe."""
    key = LabelSetKey(**value["key"])
    return LabelSet.from_json(key, value["texts"], create_time_us=value["create_time_us"])


def segment_from_json(value: Mapping[str, Any]) -> Segment:
    """Returns the segment that came over the pipe as `asdict(segment)`."""
    return Segment(**{**value, "key": LabelSetKey(**value["key"])})


def _export(request: Mapping[str, Any]) -> Any:
    from shoal_labels.analysis_export import export_analysis
    from shoal_labels.slp_export import Source, export

    sources = [
        Source(
            label_set_from_json(source["label_set"]),
            [segment_from_json(segment) for segment in source["segments"]],
        )
        for source in request["sources"]
    ]
    folder, partial, output = (Path(request[key]) for key in ("folder", "partial", "output"))
    if output.suffix == ANALYSIS_SUFFIX:
        (source,) = sources
        return export_analysis(folder, source, partial, output, request["provenance"])
    return export(folder, sources, partial, output, request["provenance"])


def _import(request: Mapping[str, Any]) -> Any:
    from shoal_labels.slp_import import import_labels

    path, folder, target = (Path(request[key]) for key in ("path", "folder", "target"))
    try:
        imported = import_labels(path, request["project"], folder, target, request["video_folders"])
    except errors.InvalidArgument as error:
        raise unreadable(path, error.message.rstrip(".")) from error
    except OSError as error:
        if from_os_error(error) is not None:
            raise
        raise unreadable(path, "it is no SLEAP file, or a truncated one") from error
    except MemoryError:
        raise
    except Exception as error:
        # A damaged file can break its reader anywhere; the log says where.
        traceback.print_exc()
        raise unreadable(path, f"reading it fails with {type(error).__name__}") from error
    return [
        {
            "label_set": label_set_to_json(label_set),
            "segments": [asdict(segment) for segment in segments],
        }
        for label_set, segments in imported
    ]


def unreadable(path: Path, complaint: str) -> errors.InvalidArgument:
    """Returns the error of a file that cannot be imported."""
    return errors.InvalidArgument(
        "LABELS_UNREADABLE",
        f"{path} cannot be imported: {complaint}; save it again with SLEAP.",
        path=path,
    )


def _answer(task: Callable[[Mapping[str, Any]], Any], request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"result": task(request)}
    except errors.ShoalError as error:
        failure = error
    except OSError as error:
        typed = from_os_error(error)
        if typed is None:
            raise
        failure = typed
    return {"error": failure.to_fields()}


def _end_with_input(partial: str | None) -> None:
    # Past the buffer, whose lock would break the end of the process.
    while os.read(0, 4096):
        pass
    if partial is not None:
        Path(partial).unlink(missing_ok=True)
    os._exit(1)


def main() -> None:
    """Runs one task."""
    # Whatever a library prints must not mix with the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.readline())
    lifeline = threading.Thread(
        target=_end_with_input, args=[request.get("partial")], name="lifeline", daemon=True
    )
    lifeline.start()
    status = 1
    try:
        answer = _answer({"export": _export, "import": _import}[sys.argv[1]], request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        status = 0
    except Exception:  # noqa: BLE001 -- a bug: the parent reports it, the log has the traceback
        traceback.print_exc()
        sys.stderr.flush()
    # Without clean-up: HDF5 2.0 crashes there if the disk was full.
    os._exit(status)


if __name__ == "__main__":
    main()
