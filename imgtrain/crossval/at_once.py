"""Folds that are trained at once: each by a command of its own, on a device of its own.

``imgtrain cv --resume FOLDER --fold N`` is that command, the same that a cluster's jobs would type.
Ctrl-C or SIGTERM is passed on, and each saves; when one fails, the others are stopped, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from imgtrain import console
from imgtrain.crossval.folder import fold_run
from imgtrain.engine.device import usable_cores
from imgtrain.errors import ImgtrainError, InterruptedRun, SettingsError
from imgtrain.rundir import RunDir
from imgtrain.settings.layers import flatten
from imgtrain.settings.schema import Settings
from imgtrain.stopping import Stop, listening

LED = "_IMGTRAIN_LED"
"""Set for processes that train a fold for another: they end when that one does."""

_LOOK = 0.05
"""Seconds between two looks at the children."""


@dataclass(frozen=True, slots=True)
class _Device:
    """What a fold trains on: a GPU's number, or some of the cores."""

    gpu: int | None
    cores: tuple[int, ...] = ()


def own_device(settings: Settings) -> Settings:
    """The settings of the process that leads: of several GPUs it takes the first, for the test.

    Raises:
        SettingsError: If there are fewer devices than folds to train at once.
    """
    if settings.cv.parallel == 1:
        return settings
    devices = _devices(settings)
    gpu = devices[0].gpu
    update = {"gpus": None if gpu is None else (gpu,)}
    return settings.model_copy(update={"hardware": settings.hardware.model_copy(update=update)})


def _devices(settings: Settings) -> list[_Device]:
    parallel, hardware = settings.cv.parallel, settings.hardware
    if hardware.gpus is not None:
        return [_Device(gpu) for gpu in hardware.gpus]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if hardware.device in ("auto", "cuda") and count:
        if count < parallel:
            raise SettingsError(
                f"--parallel {parallel} wants one GPU a fold, and there "
                f"{'is one' if count == 1 else f'are {count}'}",
                f"ask for --parallel {count}, or add --device cpu",
            )
        return [_Device(gpu) for gpu in range(parallel)]
    cores = usable_cores()
    if cores < parallel:
        raise SettingsError(
            f"--parallel {parallel} is more than the {cores} cores of this machine", "lower it"
        )
    known = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    share = cores // parallel
    return [_Device(None, tuple(known[i * share : (i + 1) * share])) for i in range(parallel)]


def train_at_once(cv: RunDir, settings: Settings, wanted: Sequence[int]) -> None:
    """Train the folds that are not finished, as many at once as there are devices.

    Raises:
        ImgtrainError: What the first that failed said; the others are stopped before.
        InterruptedRun: After a signal, when all have saved.
    """
    left = [fold for fold in wanted if not fold_run(cv, fold).is_finished]
    free, busy = _devices(settings), dict[int, tuple[_Child, _Device]]()
    with listening() as stop:
        try:
            while busy or (left and not stop()):
                while left and free and not stop():
                    fold, device = left.pop(0), free.pop(0)
                    busy[fold] = _Child(cv, settings, fold, device), device
                for fold in [f for f, (child, _) in busy.items() if child.is_over(_LOOK)]:
                    child, device = busy.pop(fold)
                    free.append(device)
                    if child.code and not stop():
                        raise child.error()
                if stop():
                    _pass_on(stop, [child for child, _ in busy.values()])
        finally:
            for child, _ in busy.values():
                child.end()
    if stop():
        raise InterruptedRun(
            stop.number or 2,
            f"stopped; everything is saved in {cv.path}",
            "the same command goes on from there",
        )


def _pass_on(stop: Stop, children: Sequence[_Child]) -> None:
    for child in children:
        child.tell(stop.number or signal.SIGINT)


def tracked_as(settings: Settings) -> dict[str, str]:
    """Variables that make a child tell the same trackers: the folder knows no passwords."""
    found = {}
    for key, value in flatten(settings).items():
        # plugins may bring trackers
        is_told = key.startswith("track.") or (key == "plugins" and value)
        if is_told and value is not None:
            text = ",".join(value) or "none" if isinstance(value, list) else str(value)
            found[f"IMGTRAIN_{key.replace('.', '__').upper()}"] = text
    return found


class _Child:
    """One fold in a process of its own; what it says is said here, with its number in front."""

    def __init__(self, cv: RunDir, settings: Settings, fold: int, device: _Device) -> None:
        self.fold, self._told = fold, False
        self._last: list[str] = []
        command = [sys.executable, "-m", "imgtrain", "cv", "--resume", str(cv.path)]
        command += ["--output", str(settings.run.output), "--fold", str(fold), "--parallel", "1"]
        command += [] if device.gpu is None else ["--gpus", str(device.gpu)]
        self._process = subprocess.Popen(  # noqa: S603  # this Python, our own command
            command,
            env={
                **os.environ,
                **tracked_as(settings),
                LED: ",".join(map(str, device.cores)),
                "NO_COLOR": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches it once: from here
        )
        self._listener = threading.Thread(target=self._hear, daemon=True)
        self._listener.start()

    def _hear(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last = [*self._last[-3:], line.rstrip()]
            console.say(f"fold {self.fold} | {line.rstrip()}")

    @property
    def code(self) -> int:
        """Its exit code; negative: the signal that ended it."""
        return self._process.returncode or 0

    def is_over(self, seconds: float) -> bool:
        """Whether it has ended, after waiting so long for that."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._close()
        return True

    def tell(self, number: int) -> None:
        """Pass on a signal, once: the second would stop it without saving."""
        if not self._told:
            self._told = True
            self._process.send_signal(number)

    def end(self) -> None:
        """Let it save and leave; kill it if it does not within a while."""
        self.tell(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def error(self) -> ImgtrainError:
        """What the command fails with."""
        told = next((line for line in self._last if "error:" in line), "")
        how = told.partition("error: ")[2] or f"it ended with code {self.code}"
        error = ImgtrainError(f"fold {self.fold} failed: {how}", "the same command goes on")
        error.exit_code = self.code if self.code > 0 else 128 - self.code  # type: ignore[misc]  # its own, not the kind's
        return error


def follow_leader() -> None:
    """In a process that trains a fold for another: keep to the cores, and end with the leader."""
    cores = os.environ.pop(LED, None)
    if cores is None:
        return
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    threading.Thread(target=_end_with_leader, daemon=True).start()


def _end_with_leader() -> None:
    """Nobody writes into stdin; it ends when the leader does, even where that was killed."""
    os.read(0, 1)
    os._exit(1)
