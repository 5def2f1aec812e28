"""`python -m core.cli`: the command line alone. `python -m tui` opens the console, too."""

import sys

from core.cli import main

sys.exit(main())
