"""Every command and flag, one a line. ``python tests/cli/surface.py`` writes them to flags.txt."""

from pathlib import Path

import typer

from imgtrain.cli import root

FROZEN = Path(__file__).with_name("flags.txt")


def lines(command, path):
    """Each argument and option of a command and of its subcommands."""
    with command.make_context(path, [], resilient_parsing=True) as ctx:
        for param in command.get_params(ctx):
            names = " ".join(
                (
                    *sorted(param.opts, key=len, reverse=True),
                    *(f"/ {name}" for name in param.secondary_opts),
                )
            )
            is_switch = getattr(param, "is_flag", False)
            metavar = "" if is_switch or param.metavar is None else f" {param.metavar}"
            kind = "" if param.param_type_name == "option" else " (argument)"
            yield f"{path} {names}{metavar}{kind}"
        if hasattr(command, "list_commands"):
            for name in command.list_commands(ctx):
                yield from lines(command.get_command(ctx, name), f"{path} {name}")


def surface():
    """The whole command line."""
    return "\n".join(lines(typer.main.get_command(root), "imgtrain")) + "\n"


if __name__ == "__main__":
    FROZEN.write_text(surface(), encoding="utf-8")
