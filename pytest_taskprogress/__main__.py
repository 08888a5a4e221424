"""`python -m pytest_taskprogress`."""

from __future__ import annotations

import sys

from pytest_taskprogress.properties.exploring.console import main

if __name__ == "__main__":
    sys.exit(main())
