"""Several processes from one command, through torch's own elastic launcher.

The parent trains nothing. Ctrl-C or SIGTERM to it reaches every process once: they finish the step
together, save and leave. When one process fails, the others are ended at once, and its exit code
becomes the command's.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from imgtrain import console
from imgtrain.continuing import RESTARTED, read_saved
from imgtrain.errors import OutsideError, SettingsError
from imgtrain.rundir import find_run
from imgtrain.settings.schema import HardwareSettings, Settings
from imgtrain.stopping import ECHO

UNDER = "_IMGTRAIN_LAUNCHED"
"""Set for processes that were started here: to them, SIGTERM means that another one failed."""

_MAY_PASS = {1, OutsideError.exit_code}
"""Exit codes that may not come again: a failure of the program, a lost connection."""

_PATIENCE = 300
"""Seconds that processes have for saving after Ctrl-C."""


def wanted_processes(settings: Settings, *, is_told: bool) -> int:
    """How many processes this command has to start; 1 under a launcher, or where one will do.

    ``--resume`` starts as many as the run began with, unless the user told (``is_told``) a number.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return 1
    asked, which = _number(settings.hardware), settings.run.resume
    if is_told or asked > 1 or which is None:
        return asked
    return _number(read_saved(find_run(which, settings.run.output)).hardware)


def must_launch(hardware: HardwareSettings, processes: int) -> bool:
    """Whether this command starts ``processes`` and waits, or is itself one that was started.

    Raises:
        SettingsError: If another launcher is to start the processes again.
    """
    if UNDER in os.environ:
        return False
    if hardware.max_restarts and "TORCHELASTIC_RUN_ID" in os.environ:
        raise SettingsError(
            f"--max-restarts {hardware.max_restarts} is the launcher's here",
            f"torchrun --max-restarts {hardware.max_restarts} ... -m imgtrain train ...",
        )
    return processes > 1 or hardware.max_restarts > 0


def refuse_missing(settings: Settings, processes: int) -> None:
    """Devices that are not there are said once, and not by every process.

    Raises:
        SettingsError: If a device was asked for that is not there.
    """
    if settings.run.resume is not None:  # its own settings say on what
        return
    from imgtrain.engine.device import choose_device

    choose_device(settings.hardware, local_rank=processes - 1, local_size=processes)


def refuse_to_start_others(settings: Settings) -> None:
    """Several processes are the command line's to start; a function call is one process.

    Raises:
        SettingsError: If the settings ask for more, and no launcher started them.
    """
    asked = _number(settings.hardware)
    if asked > 1 and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        raise SettingsError(
            f"the settings ask for {asked} processes, a call from Python is one",
            "imgtrain train starts them, and so does torchrun",
        )


def refuse_alone(settings: Settings, processes: int) -> None:
    """What only several processes can do. A run of several may go on as one.

    Raises:
        SettingsError: If a new run of a single process asks for it.
    """
    if processes > 1 or settings.run.resume is not None:
        return
    for flag, is_on in (
        ("--sync-bn counts the pictures of several processes", settings.hardware.sync_bn),
        ("--fsdp shares the model out over several processes", settings.hardware.fsdp),
    ):
        if is_on:
            raise SettingsError(f"{flag}, this is one", "add --gpus 0,1, or leave it out")


def _number(hardware: HardwareSettings) -> int:
    return len(hardware.gpus) if hardware.gpus else hardware.processes


def launch(processes: int, argv: Sequence[str], *, max_restarts: int = 0) -> int:
    """Run ``imgtrain ARGV`` in so many processes on this machine; returns the exit code.

    A group in which a process died is started again up to ``max_restarts`` times, and goes on from
    its last checkpoint. What a user has to mend (settings, data, a full disk) is not tried again.

    Raises:
        SettingsError: If this system cannot start them.
    """
    try:
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch
    except ImportError as error:
        raise SettingsError(
            f"this build of torch cannot start several processes ({error})", "use one process"
        ) from error
    heard: list[tuple[int, float]] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if not heard or now - heard[-1][1] > ECHO:
            heard.append((number, now))
            # the agent knows of SIGINT alone, and so do its processes
            os.kill(os.getpid(), signal.SIGINT)

    before, silenced = signal.signal(signal.SIGTERM, pass_on), logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the processes say what there is to say
    os.environ[UNDER] = "1"
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"imgtrain-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        signals_to_handle="SIGINT",
        shutdown_timeout=_PATIENCE,
    )
    try:
        for left in range(max_restarts, -1, -1):
            try:
                elastic_launch(config, sys.executable)("-m", "imgtrain", *argv)
            except ChildFailedError as failed:
                rank, code = _first_failure(failed.failures)
                how = _how_it_ended(code)
                if left and (code < 0 or code in _MAY_PASS):
                    console.warn(f"process {rank} {how}: all start again ({left - 1} more times)")
                    os.environ[RESTARTED] = "1"
                    continue
                if code >= 0:
                    return code
                console.error(
                    f"process {rank} {how}, and so the others",
                    "the same command goes on from the last checkpoint",
                )
                return 128 - code
            except SignalException:
                return 128 + (heard[0][0] if heard else int(signal.SIGINT))
            return 0
    finally:
        signal.signal(signal.SIGTERM, before)
        logging.disable(silenced)
        for name in (UNDER, RESTARTED):
            os.environ.pop(name, None)
    return 0


def _first_failure(failures: Mapping[int, Any]) -> tuple[int, int]:
    """Rank and exit code of the process that began it: those it left alone come after."""
    rank, found = min(
        failures.items(), key=lambda f: (f[1].exitcode == OutsideError.exit_code, f[1].timestamp)
    )
    return rank, int(found.exitcode)


def _how_it_ended(code: int) -> str:
    """``was ended by SIGKILL``, or with which exit code."""
    return (
        f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed (exit code {code})"
    )
