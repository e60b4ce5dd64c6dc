"""The root command: a table of subcommands, and the one place where an error becomes a code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

import imgtrain
from imgtrain import console
from imgtrain.commands.layout import LazyGroup
from imgtrain.errors import (
    ImgtrainError,
    InterruptedRun,
    MemoryLimitError,
    OutsideError,
    SettingsError,
    disk_error,
    is_out_of_memory,
    nearest,
)
from imgtrain.registry import blamed
from imgtrain.waiting import wait_briefly
from imgtrain.wall_clock import begin_command

COMMANDS = {
    "data": "Fetch, check, clean and look at pictures.",
    "train": "Train a model on labelled pictures, score it, write a report.",
    "cv": "Train on every fold, ensemble them, score an untouched test part.",
    "tune": "Search for good settings by short trainings.",
    "find-lr": "Test a range of learning rates and suggest one.",
    "evaluate": "Score a trained model on labelled pictures; calibrate it.",
    "predict": "Classify pictures with a trained model.",
    "export": "Write a model file for other programs, compared with its run.",
    "explain": "Show where a model looks, in pictures or in a run's mistakes.",
    "models": "List models, or what one costs by stage.",
    "report": "Write the page of a run again, or of several compared.",
    "compare": "Tell real differences between runs from chance.",
    "find-batch-size": "Find the largest batch that fits, and the one to take.",
    "bench": "Measure how fast this machine reads pictures.",
    "config": "Show settings, who set them, and their schema.",
    "init": "Write a commented settings file to start from.",
    "doctor": "Look at this machine: what works, what does not, what to do.",
}
"""Each subcommand is a function (or ``app``, a group) in the module of its name."""

_SIGPIPE = 141
"""What a shell reports for a program whose reader has left."""


class _Root(LazyGroup):
    """All subcommands."""

    package = "imgtrain.commands"
    table = COMMANDS


root = typer.Typer(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="imgtrain COMMAND --help tells more. Without arguments, train uses built-in digits.",
    rich_markup_mode=None,
)


def _version(value: bool) -> None:  # noqa: FBT001  # Typer's signature
    if value:
        console.result(f"imgtrain {imgtrain.__version__}")
        raise typer.Exit


@root.callback()
def _root(
    *,
    version: Annotated[  # its callback acts
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train image classifiers from the command line: right, fast, safe and pleasant."""


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    begin_command()
    wait_briefly()
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Run a command line; returns the exit code."""
    try:
        code = _invoke(argv)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001  # the one boundary
        return exit_code(error)
    return code


def _invoke(argv: Sequence[str]) -> int:
    if "_IMGTRAIN_COMPLETE" in os.environ:
        root(list(argv), prog_name="imgtrain")
    command = typer.main.get_command(root)
    try:
        with command.make_context("imgtrain", list(argv), obj=tuple(argv)) as ctx:
            command.invoke(ctx)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def exit_code(error: BaseException) -> int:
    """Say what happened, and return the exit code; see ``imgtrain.errors``."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, BrokenPipeError) and _stdout_is_gone():
        return _SIGPIPE
    known = _as_ours(error)
    if known is None or os.environ.get("IMGTRAIN_DEBUG") == "1":
        traceback.print_exception(error)
    if known is None:
        console.error(
            "this is a bug in imgtrain", "please report it with the command and the lines above"
        )
        return 1
    if isinstance(known, InterruptedRun):
        console.warn(known.message + (known.hint and f"\n  {known.hint}"))
        return known.code
    console.error(known.message, known.hint)
    return known.exit_code


def _as_ours(error: BaseException) -> ImgtrainError | None:
    """The error as one that its user can mend, if it is one."""
    match error:
        case ImgtrainError():
            return error
        case TyperException():
            return _usage(error)
        case KeyboardInterrupt() | typer.Abort():
            return InterruptedRun(signal.SIGINT, "stopped")
        case OSError(errno=errno.ENOSPC | errno.EROFS | errno.EDQUOT):
            return disk_error(error, error.filename or "a file")
    return _machine(error) or _plugins_own(error)


def _plugins_own(error: BaseException) -> ImgtrainError | None:
    """What went wrong in a function that a plugin registered."""
    found = blamed(error)
    if found is None:
        return None
    plugin, told = found
    return SettingsError(f"plugin {plugin} failed: {told}", "IMGTRAIN_DEBUG=1 shows the traceback")


def _usage(error: Any) -> SettingsError:
    """Typer's complaint in our words, with the nearest name."""
    ctx = getattr(error, "ctx", None)
    message = error.format_message()
    if ctx is not None and hasattr(error, "possibilities"):
        options = [name for p in ctx.command.params for name in (*p.opts, *p.secondary_opts)]
        near = "" if _stands_alone(error.option_name, ctx) else nearest(error.option_name, options)
        message = f"there is no option {error.option_name}{near}"
    message = f"{message[:1].lower()}{message[1:]}".rstrip(".")
    return SettingsError(message, _way_out(message, ctx))


def _way_out(message: str, ctx: Any) -> str:
    """Where the folder of pictures goes, if that is what went wrong; else where to read on."""
    if ctx is None:
        return "imgtrain --help tells more"
    names = {name for param in ctx.command.params for name in param.opts}
    if message.startswith("got unexpected extra argument") and "--data" in names:
        return f"pictures are named by --data, as in: {ctx.command_path} --data photos"
    if _stands_alone(message.removeprefix("there is no option "), ctx):
        return f"the folder stands by itself, as in: {ctx.command_path} photos"
    return f"{ctx.command_path} --help tells more"


def _stands_alone(option: str, ctx: Any) -> bool:
    """Whether it is ``--data`` at a command whose folder is an argument."""
    return option == "--data" and any("path" in param.opts for param in ctx.command.params)


def _machine(error: BaseException) -> ImgtrainError | None:
    """What the machine or its packages are to blame for."""
    if is_out_of_memory(error):
        return MemoryLimitError(
            "out of memory",
            "lower --batch-size (--accumulation-steps keeps the effective batch) or --image-size",
        )
    if "operator torchvision::nms does not exist" in str(error):
        return OutsideError(
            "torch and torchvision do not match: they come from different builds",
            "install both from one index: pip install --force-reinstall torch torchvision",
        )
    return None


def _stdout_is_gone() -> bool:
    """Whether the reader of our output has left; if so, nothing more is written.

    A failed write leaves nothing to flush, so only another write can tell.
    """
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
