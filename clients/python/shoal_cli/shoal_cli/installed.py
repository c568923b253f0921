"""Parts of Shoal that only some commands need."""

import importlib.util

from shoal_core.errors import FailedPrecondition


def require(*modules: str, extra: str = "local") -> None:
    """Returns if the modules are installed, which an extra of this distribution brings.

    Raises:
        FailedPrecondition: PART_NOT_INSTALLED.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise FailedPrecondition(
                "PART_NOT_INSTALLED",
                f"This command needs {module}; run pip install 'shoal-cli[{extra}]'.",
                module=module,
            )
