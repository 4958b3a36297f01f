"""Where what was once made or fetched is kept."""

import os
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder for this project, by the custom of the operating system; it need not exist yet.

    Of a user without a home, as in some containers, it is one in the folder for temporary files.
    """
    home = os.path.expanduser("~")
    if home == "~":
        home = os.path.join(tempfile.gettempdir(), f"airbench-{os.getuid() if hasattr(os, 'getuid') else 'cache'}")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path(home, "AppData", "Local")
    elif sys.platform == "darwin":
        base = Path(home, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path(home, ".cache")
    return Path(base) / "airbench"
