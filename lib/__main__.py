"""`python -m lib`: train, evaluate, and measure speed, from the command line."""

import sys

from lib.cli import main

sys.exit(main())
