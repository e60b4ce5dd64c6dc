"""What a folder holds, to the last bit."""

import os
from pathlib import Path


def snapshot(root):
    """Content (or target of a link), mode and time of every file, by its name in bytes."""
    found = {}
    for folder, _, files in os.walk(root):
        for name in files:
            place = Path(folder, name)
            about = place.lstat()
            content = place.readlink() if place.is_symlink() else place.read_bytes()
            key = os.fsencode(place.relative_to(root))
            found[key] = (content, about.st_mode, about.st_mtime_ns)
    return found
