"""`python -m lib`: the command line."""

import sys

from lib.cli import main

for stream in filter(None, (sys.stdout, sys.stderr)):
    stream.reconfigure(errors="backslashreplace")  # a sign that the locale lacks is no reason to stop
sys.exit(main())
