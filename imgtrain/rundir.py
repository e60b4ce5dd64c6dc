"""A run's folder: where it lies, whose it is, and whether somebody works in it.

A run is its settings, data fingerprint and name: the same command finds its unfinished run again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain.errors import RunError, disk_error, nearest
from imgtrain.files import first_free, read_json, write_json

FORMAT = 1
"""Number of the run folder's layout; a newer one is refused, an older one migrated."""


@dataclass(frozen=True, slots=True)
class RunDir:
    """The files of one run, by name."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def config(self) -> Path:
        """Settings as resolved; ``train -c`` takes them as they are."""
        return self.path / "config.yaml"

    @property
    def provenance(self) -> Path:
        """Command, versions, device, origin of each setting, data fingerprint."""
        return self.path / "provenance.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of last.pt, best.pt and the numbered ones."""
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """Weights, recipe, classes and preprocessing: all that predict needs."""
        return self.path / "model.safetensors"

    @property
    def log(self) -> Path:
        """Every message, with its time."""
        return self.path / "log.txt"

    def status(self) -> dict[str, Any]:
        """What ``status.json`` says; empty where there is none or it cannot be read."""
        try:
            found = read_json(self.path / "status.json")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def set_status(self, state: str, **more: object) -> None:
        """Write ``status.json``: running, finished, interrupted, pruned or failed."""
        write_json(
            self.path / "status.json",
            {"format": FORMAT, "state": state, "pid": os.getpid(), **more},
        )

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return self.status().get("state") == "finished"


def identity_of(settings: Mapping[str, object], fingerprint: str, name: str) -> str:
    """SHA-256 (hex) of what makes a run this run: ``settings`` hold only the keys that count."""
    text = json.dumps([dict(settings), fingerprint, name], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _runs_in(output: Path) -> list[Path]:
    """Run folders in ``output``, newest first."""
    if not output.is_dir():
        return []
    found = [p for p in output.iterdir() if p.name[0] != "." and (p / "status.json").is_file()]
    return sorted(
        found, key=lambda p: ((p / "status.json").stat().st_mtime_ns, p.name), reverse=True
    )


def check_format(run: RunDir) -> None:
    """Refuse a folder that a later version wrote.

    Raises:
        RunError: If the run's format number is above this version's.
    """
    number = run.status().get("format", FORMAT)
    if isinstance(number, int) and number > FORMAT:
        raise RunError(
            f"{run.path} was written by a later version of imgtrain "
            f"(format {number}, known: {FORMAT})",
            "update imgtrain: python -m pip install --upgrade imgtrain",
        )


def find_run(
    which: str | None, output: Path, *, having: str | Sequence[str] = "status.json"
) -> RunDir:
    """The run of that name or path, or the newest one that has the file ``having``, or one of them.

    Raises:
        RunError: If there is none.
    """
    if which is not None and which != "latest":
        for path in (Path(which), output / which):
            if (path / "status.json").is_file():
                run = RunDir(path)
                check_format(run)
                return run
        known = [p.name for p in _runs_in(output)]
        raise RunError(
            f"no run {which!r} here or in {output}{nearest(which, known)}",
            f"runs in {output}: {', '.join(known[:10])}" if known else "train one: imgtrain train",
        )
    wanted = [having] if isinstance(having, str) else having
    for path in _runs_in(output):
        if any((path / name).is_file() for name in wanted):
            run = RunDir(path)
            check_format(run)
            return run
    raise RunError(f"no run with a {wanted[0]} in {output}", "train one first: imgtrain train")


def runs_of(output: Path, name: str, identity: str) -> Iterator[RunDir]:
    """Runs of that identity in ``output``, called ``name`` or ``name-N``, newest first."""
    for path in _runs_in(output):
        if path.name != name and not path.name.startswith(f"{name}-"):
            continue
        run = RunDir(path)
        try:
            known = read_json(run.provenance).get("identity", [])
        except (OSError, ValueError, AttributeError):
            continue
        if identity in known:
            yield run


def unfinished_run(output: Path, name: str, identity: str) -> RunDir | None:
    """The newest run of that identity, if it is not finished yet."""
    run = next(runs_of(output, name, identity), None)
    return None if run is None or run.is_finished else run


def new_run(output: Path, name: str) -> RunDir:
    """A new folder ``name``, ``name-2``, ... in ``output``: with its status, or not at all.

    Raises:
        DiskError: If it cannot be made.
    """
    draft = RunDir(output / f".{name}.{os.getpid()}.tmp")
    try:
        output.mkdir(parents=True, exist_ok=True)
        draft.checkpoints.mkdir(parents=True, exist_ok=True)
        draft.set_status("running")
        while True:
            path = output / first_free(lambda n: os.path.lexists(output / n), name)
            try:
                draft.path.rename(path)
            except OSError as error:
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                    raise
                continue  # another process was faster
            return RunDir(path)
    except OSError as error:  # a file in the place of ``output``, too
        raise disk_error(error, output / name) from error


def new_place(run: RunDir) -> None:
    """Make this very folder of a run, with its status; nothing if another process has just done it.

    Raises:
        DiskError: If it cannot be made.
    """
    draft = RunDir(run.path.with_name(f".{run.name}.{uuid.uuid4().hex}.tmp"))
    try:
        draft.checkpoints.mkdir(parents=True)
        draft.set_status("running")
        draft.path.rename(run.path)
    except OSError as error:
        if not run.path.is_dir():
            raise disk_error(error, run.path) from error
        shutil.rmtree(draft.path, ignore_errors=True)


@contextlib.contextmanager
def locked(run: RunDir) -> Iterator[None]:
    """Nobody else works in this run during the block; the lock dies with the process.

    Raises:
        RunError: If another process works in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks; the last writer wins
        yield
        return
    try:
        lock = (run.path / ".lock").open("a")
    except OSError as error:
        raise disk_error(error, run.path) from error
    with lock as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = run.status().get("pid", "unknown")
            raise RunError(
                f"{run.path} is being worked on by another process (pid {pid})",
                "wait for it, or start a second run of the same settings with --fresh",
            ) from error
        for litter in run.path.rglob(".*.tmp"):  # of a process that was killed while writing
            litter.unlink(missing_ok=True)
        yield
