"""``python -m inferprint``."""

from __future__ import annotations

import sys

from inferprint.cli import main

if __name__ == "__main__":
    sys.exit(main())
