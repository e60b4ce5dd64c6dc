"""``imgtrain data clean``: bad pictures into quarantine, wrong labels right, and back."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtrain import console
from imgtrain.commands.data.from_audit import correct_manifest, plan_from_audit
from imgtrain.errors import DataError, SettingsError

if TYPE_CHECKING:
    from imgtrain.checking.plan import Action
    from imgtrain.checking.quarantine import Outcome

_SHOWN = 20
_MOST_PIXELS = 100_000_000
_TABLES = (".csv", ".parquet")


def clean(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="A folder of pictures; with --from-audit a manifest."),
    ] = None,
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; without this, only say what would be done.")
    ] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Put back everything that is in the quarantine.")
    ] = False,
    quarantine: Annotated[
        Path | None,
        typer.Option("--quarantine", metavar="DIR", help="Where files go; else PATH-quarantine."),
    ] = None,
    from_audit: Annotated[
        Path | None,
        typer.Option("--from-audit", metavar="FILE", help="Give the labels accepted in this list."),
    ] = None,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep one of each picture; test before train.")
    ] = False,
    near: Annotated[
        bool, typer.Option("--near", help="Re-encoded, resized, mirrored copies are duplicates.")
    ] = False,
    drop_conflicts: Annotated[
        bool, typer.Option("--drop-conflicts", help="Move pictures that have several classes.")
    ] = False,
    fix_extensions: Annotated[
        bool, typer.Option("--fix-extensions", help="Name files as their format is called.")
    ] = False,
    convert_modes: Annotated[
        bool, typer.Option("--convert-modes", help="Write 8-bit grey or RGB PNGs of other modes.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", metavar="N", min=1, help="Threads; else one a core."),
    ] = None,
    max_pixels: Annotated[
        int,
        typer.Option("--max-pixels", metavar="N", min=1, help="Larger pictures are not looked at."),
    ] = _MOST_PIXELS,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Move unreadable pictures aside (a dry run without --apply); --restore puts them back.

    With --from-audit, pictures get the labels that a person accepted instead.
    """
    console.set_verbosity(verbose - quiet)
    if apply and restore:
        raise SettingsError("--apply and --restore contradict each other", "give one of them")
    from imgtrain.checking.plan import Wanted, make_plan

    wanted = Wanted(
        duplicates=drop_duplicates,
        conflicts=drop_conflicts,
        extensions=fix_extensions,
        modes=convert_modes,
    )
    if from_audit is not None:
        beside = wanted != Wanted() or near or jobs is not None or max_pixels != _MOST_PIXELS
        _refuse_beside_audit(from_audit, restore=restore, others=beside)
    from imgtrain.checking.tree import absolute

    path = _path(path, from_audit)
    root = Path(absolute(path))
    folder = _folder(root, quarantine)
    again = f"imgtrain data clean {shlex.quote(path)} --restore"
    if quarantine is not None:
        again += f" --quarantine {shlex.quote(str(quarantine))}"
    if restore:
        from imgtrain.checking.quarantine import restore as put_back

        _tell_outcome(put_back(root, folder), folder, "", as_json=json_)
        return
    from imgtrain.checking.quarantine import apply as carry_out

    if from_audit is not None:
        if root.suffix.lower() in _TABLES and root.is_file():
            correct_manifest(root, from_audit, apply=apply, as_json=json_)
            return
        plan = plan_from_audit(root, from_audit, folder)
    else:
        _refuse_others(path, root)
        from imgtrain.checking.judging import Limits
        from imgtrain.checking.survey import survey

        limits = Limits(max_pixels=max_pixels)
        cores = jobs or os.cpu_count() or 1
        plan = make_plan(survey(str(root), limits=limits, jobs=cores, near=near), wanted)
    if apply and plan:
        _tell_outcome(carry_out(plan, root, folder), folder, again, as_json=json_)
    else:
        _tell_plan(plan, folder, as_json=json_)


def _refuse_beside_audit(file: Path, *, restore: bool, others: bool) -> None:
    """The list alone says what is done."""
    if restore:
        raise SettingsError(
            "--restore puts everything back and reads no list", f"leave --from-audit {file} out"
        )
    if others:
        raise SettingsError(
            "--from-audit does what its list says and looks at nothing else",
            "leave the other options out, and clean a second time with them",
        )


def _path(path: str | None, from_audit: Path | None) -> str:
    """As given, or the data that the list is about."""
    if path is not None:
        return path
    if from_audit is None:
        raise SettingsError("PATH is missing", "imgtrain data clean PATH, a folder of pictures")
    from imgtrain.checking.answers import root_of

    return root_of(from_audit)


def _folder(root: Path, quarantine: Path | None) -> Path:
    """The quarantine folder, which must not lie in the data."""
    if not root.name:
        raise SettingsError(f"{root} is the whole disk", "give the folder of the pictures")
    folder = quarantine or root.with_name(f"{root.name}-quarantine")
    folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  # links stay as they are
    if folder.resolve().is_relative_to(root.resolve()):
        raise SettingsError(
            f"the quarantine {folder} lies in the data folder: its pictures would stay in the set",
            "choose a place outside with --quarantine DIR",
        )
    return folder


def _refuse_others(path: str, root: Path) -> None:
    if root.is_dir():
        return
    if root.suffix.lower() in _TABLES and root.is_file():
        raise SettingsError(
            f"{path} is a manifest: moving its files would break it, and others that name them",
            "imgtrain data validate --json lists what is wrong: take those rows out, or clean the"
            " folder that the files lie in",
        )
    raise DataError(f"there is no folder {path!r}", "data clean moves files of a folder")


def _tell_plan(plan: list[Action], folder: Path, *, as_json: bool) -> None:
    if as_json:
        steps = [
            {"do": a.do, "file": a.name, "to": a.new_name or None, "reason": a.reason} for a in plan
        ]
        console.result(
            json.dumps({"format": 1, "applied": False, "quarantine": str(folder), "plan": steps})
        )
        return
    from imgtrain.data.listing import count

    shown = plan if console.verbosity() > 0 else plan[:_SHOWN]
    for action in shown:
        to = f" -> {console.one_line(action.new_name)}" if action.new_name else ""
        console.say(
            f"{action.do} {console.one_line(action.name)}{to} ({console.one_line(action.reason)})"
        )
    if len(plan) > len(shown):
        console.say(f"... and {len(plan) - len(shown):,} more (-v shows all)")
    if plan:
        console.say(f"a dry run: {count(len(plan), 'file')}; --apply does it, moving into {folder}")
    else:
        console.say("nothing to clean")


def _tell_outcome(outcome: Outcome, folder: Path, again: str, *, as_json: bool) -> None:
    """What was done, and the command that undoes it if any; an error if something was left."""
    from imgtrain.data.listing import count

    if as_json:
        stays = [{"file": name, "reason": reason} for name, reason in outcome.left]
        console.result(
            json.dumps(
                {"format": 1, "applied": True, "quarantine": str(folder)}
                | {"done": outcome.done, "left": stays}
            )
        )
    verb = "cleaned" if again else "put back"
    console.say(f"{count(outcome.done, 'file')} {verb}; quarantine: {folder}")
    if again:
        console.say(f"{again} puts everything back")
    for name, reason in outcome.left[:_SHOWN]:
        console.warn(f"{console.one_line(name)} stays: {console.one_line(reason)}")
    if outcome.left:
        left = count(len(outcome.left), "file was left as it is", "files were left as they are")
        raise DataError(left, "the warnings say why")
