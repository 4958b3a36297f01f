"""`airbench` and `python -m airbench_core`."""

import sys

from airbench_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
