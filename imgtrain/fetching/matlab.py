"""Arrays in MATLAB's files, read by SciPy; only of files whose checksum was right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imgtrain.fetching.unpack import not_expected


def arrays_in(path: Path, *names: str) -> list[Any]:
    """The arrays of these names.

    Raises:
        DataError: If the file cannot be read, or has no such array.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=list(names), appendmat=False)
        return [found[name] for name in names]
    except Exception as error:  # loadmat raises whatever its parsers meet
        raise not_expected(path, f"no array {' or '.join(names)} can be read ({error})") from error
