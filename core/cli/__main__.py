"""`python -m core.cli`, where the command `xaiva` is not on PATH."""

import sys

from core.cli import main

sys.exit(main())
