"""A Parquet file, gathered in parts: it has its index at the end, so it cannot grow itself."""

from __future__ import annotations

import shutil
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imgtrain.errors import OutsideError, SettingsError
from imgtrain.files import refuse_device, replacing
from imgtrain.loading.locks import Lock
from imgtrain.predicting.answers import Answer, Asked
from imgtrain.predicting.growing import Checked, told
from imgtrain.predicting.listing import Listed
from imgtrain.predicting.rows import text

PART = 4096
"""Rows of a part at most, but for a batch, and of a row group of the whole at least."""

_SECONDS = 10.0
"""Work that kill -9 loses at most."""


class Parquet:
    """A ``Table`` whose parts stand in a folder beside it until it is whole.

    Args:
        path: The file.
        asked: What its rows say.

    Raises:
        OutsideError: If pyarrow is not installed.
    """

    depends: Mapping[str, int] = {}

    def __init__(self, path: Path, asked: Asked) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise OutsideError(
                f"writing {path} needs the package pyarrow", "pip install 'imgtrain[parquet]'"
            ) from error
        self.path, self._asked, self._pq, self._pa = path, asked, pq, pa
        self._folder = path.with_name(f"{path.name}.parts")
        self._schema = _schema(asked)
        self._waiting: list[Answer] = []
        self._parts: list[tuple[Path, int]] = []
        self._errors = array("b")
        self._number, self._saved = 0, time.monotonic()
        self._lock: Lock | None = None

    def is_begun(self) -> bool:
        """Whether there is a file, or a part of one."""
        return self.path.is_file() or self._folder.is_dir()

    def known(self, listed: Listed) -> int:
        """Rows of the whole file, else of the parts."""
        whole = self.path.is_file()
        files = [self.path] if whole else sorted(self._folder.glob("*.parquet"))
        checked = Checked(self.path, listed)
        for file in files:
            try:
                found = self._pq.read_table(file, columns=["path", "error"])
            except (self._pa.ArrowException, OSError, KeyError):
                break
            columns = (found[key].to_pylist() for key in ("path", "error"))
            for name, error in zip(*columns, strict=True):
                checked.add((name, error is not None))
            self._parts.append((file, len(checked.errors)))
        self._errors = checked.errors
        return len(self._errors)

    def floor(self, rows: int) -> int:
        """After a part."""
        return max((end for _, end in self._parts if end <= rows), default=0)

    def failed(self, rows: int) -> int:
        """How many of its first rows are pictures that could not be read."""
        return sum(self._errors[:rows])

    def begin(self, rows: int) -> None:
        """Keep the parts up to there; a whole file that goes on becomes the first part."""
        with told(self.path):
            refuse_device(self.path)
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self._folder / "lock")
            if not self._lock.try_exclusive():
                raise SettingsError(
                    f"another command is writing {self.path}", "wait for it, or name another file"
                )
            kept = [file for file, end in self._parts if end <= rows]
            for old in set(self._folder.glob("*.parquet")) - set(kept):
                old.unlink()
            if self.path in kept:
                self.path.replace(self._folder / "000000.parquet")
            self._number = len(kept)

    def write(self, said: Sequence[Answer]) -> None:
        """Add a batch; it is on disk some seconds later, or when the command ends."""
        self._waiting += said
        if len(self._waiting) >= PART or time.monotonic() - self._saved > _SECONDS:
            self._save()

    def close(self, *, whole: bool) -> None:
        """Save what waits; join the parts of a whole file."""
        if self._lock is None:
            return
        with told(self.path):
            if self._waiting:
                self._save()
            if whole:
                self._join()
            self._lock.close()
            self._lock = None
            if whole:
                shutil.rmtree(self._folder)

    def _save(self) -> None:
        table = self._pa.Table.from_pylist(
            [_row(said, self._asked) for said in self._waiting], schema=self._schema
        )
        with replacing(self._folder / f"{self._number:06d}.parquet") as file:
            self._pq.write_table(table, file)
        self._number += 1
        self._waiting, self._saved = [], time.monotonic()

    def _join(self) -> None:
        """Small parts together make a row group; one is in memory at a time."""
        gathered: list[Any] = []
        with replacing(self.path) as out, self._pq.ParquetWriter(out, self._schema) as writer:
            for part in sorted(self._folder.glob("*.parquet")):
                for group in self._groups(part):
                    gathered.append(group)
                    if sum(map(len, gathered)) >= PART:
                        writer.write_table(self._pa.concat_tables(gathered))
                        gathered = []
            if gathered:
                writer.write_table(self._pa.concat_tables(gathered))

    def _groups(self, part: Path) -> Iterator[Any]:
        with self._pq.ParquetFile(part) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)


def _schema(asked: Asked) -> Any:
    import pyarrow as pa

    names = [("path", pa.string()), *([("label", pa.string())] if asked.labelled else [])]
    names += [("pred", pa.string()), ("prob", pa.float32())]
    names += [("set", pa.list_(pa.string()))] if asked.least is not None else []
    names += [(f"prob_{text(name)}", pa.float32()) for name in asked.classes]
    return pa.schema([*names, ("error", pa.string())])


def _row(said: Answer, asked: Asked) -> dict[str, Any]:
    """A row by columns; what is not there is null, probabilities are not rounded."""
    probs = said.found.probs
    found = [None] * len(asked.classes) if probs is None else probs.tolist()
    return {
        "path": text(said.found.path),
        "label": said.label or None,
        "pred": said.pred,
        "prob": said.prob,
        "set": None if said.inside is None else list(said.inside),
        **{f"prob_{text(name)}": prob for name, prob in zip(asked.classes, found, strict=True)},
        "error": said.found.error,
    }
