"""Runtimes that would report their use to their makers, kept from it."""

import sys


def keep_openvino_quiet() -> None:
    """Makes `import openvino` and `import nncf`, if they come after it, report to nobody.

    Both send a message when they are imported, unless the package that sends it is missing, which
    their own code allows for.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # refuses its import
