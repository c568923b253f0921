"""`python -m shoal_cli` is the `shoal` command."""

import sys

from shoal_cli.main import main

sys.exit(main())
