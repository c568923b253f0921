"""`python -m shoal_cli` is the `shoal` command."""

import sys

from shoal_cli.entry import run

sys.exit(run())
