"""``imgtrain data download``: a known set, from its publisher to a folder of pictures."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtrain import console
from imgtrain.errors import InterruptedRun, SettingsError

if TYPE_CHECKING:
    from imgtrain.fetching.entry import SetEntry


def download(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which set; --list shows them all.")
    ] = None,
    *,
    mirror: Annotated[
        str | None,
        typer.Option("--mirror", metavar="URL", help="Server that is asked before all others."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder that holds the set's; else the user's cache.",
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Open no socket.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the sets, or show NAME.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Fetch a known set and unpack it as a folder of pictures."""
    console.set_verbosity(verbose - quiet)
    if list_:
        _show(name, output, as_json=json_)
        return
    if name is None:
        raise SettingsError(
            "data download needs the name of a set", "imgtrain data download --list shows them all"
        )
    _refuse_unknown(name)
    from imgtrain.fetching.sets import fetch_set, find_set

    here = find_set(name, output=output)
    if here is not None:
        console.say(f"{name} is here already (remove the folder to fetch it again)")
    else:
        own_mirror, stay_offline = _settled(mirror, offline=offline)
        try:
            here = fetch_set(name, mirror=own_mirror, offline=stay_offline, output=output)
        except KeyboardInterrupt as error:
            raise InterruptedRun(
                2, f"stopped; what was fetched of {name} stays", "the same command goes on with it"
            ) from error
        by_name = output is None and not Path(name).exists()  # a folder of that name would win
        console.say(f"now: imgtrain train --data {name if by_name else shlex.quote(str(here))}")
    console.result(json.dumps({"name": name, "path": str(here)}) if json_ else str(here))


def _refuse_unknown(name: str) -> None:
    from imgtrain.fetching.catalogue import entry_of

    if name == "imagenet":
        raise SettingsError(
            "imagenet has no open source: its users fetch it by hand",
            "then: imgtrain data prepare imagenet --archives DIR",
        )
    entry_of(name)


def _settled(mirror: str | None, *, offline: bool) -> tuple[str | None, bool]:
    """Mirror and offline as flags and environment have them."""
    from imgtrain.settings.layers import load_settings

    flags: dict[str, object] = {} if mirror is None else {"data.mirror": mirror}
    if offline:
        flags["hardware.offline"] = True
    settings = load_settings(flags=flags).settings
    return settings.data.mirror, settings.hardware.offline


def _show(name: str | None, output: Path | None, *, as_json: bool) -> None:
    """All sets as a table, one set with all that is known, or either as JSON."""
    from imgtrain.fetching.catalogue import CATALOGUE, entry_of
    from imgtrain.fetching.place import is_whole
    from imgtrain.fetching.sets import sets_folder

    entries = list(CATALOGUE.values()) if name is None else [entry_of(name)]
    folder = output or sets_folder()
    here = {e.name: folder / e.name for e in entries if is_whole(folder / e.name)}
    if as_json:
        console.result(json.dumps([_as_json(e, here.get(e.name)) for e in entries], indent=2))
    elif name is None:
        console.result("\n".join(_table(entries, here)))
    else:
        console.result("\n".join(_details(entries[0], here.get(name))))


def _table(entries: list[SetEntry], here: dict[str, Path]) -> list[str]:
    from imgtrain.fetching.progress import size_text

    rows = [("name", "download", "classes", "pictures", "here", "what, and its licence")]
    rows += [
        (
            e.name,
            size_text(e.size) if e.archives else "none",
            f"{e.classes}",
            f"{e.pictures:,}",
            "yes" if e.name in here else "",
            f"{e.title}; {e.licence}",
        )
        for e in entries
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}"
        f"  {row[3]:>{widths[3]}}  {row[4]:<{widths[4]}}  {row[5]}"
        for row in rows
    ]


def _details(entry: SetEntry, here: Path | None) -> list[str]:
    from imgtrain.fetching.progress import size_text

    parts = ", ".join(f"{n:,} {part}".strip() for part, n in entry.counts.items())
    lines = [
        f"{entry.name}: {entry.title}",
        f"  pictures  {parts}; {entry.classes} classes",
        f"  licence   {entry.licence}",
        f"  cite      {entry.citation}",
        f"  about     {entry.homepage}",
        f"  unpacked  about {size_text(entry.room)}",
        f"  here      {here or 'no'}",
        *(f"  note      {note}" for note in entry.notes),
    ]
    for archive in entry.archives:
        lines.append(f"  {archive.name}: {size_text(archive.size or 0)}")
        lines.append(f"    {archive.digest or 'no checksum'} ({archive.vouched_by})")
        lines += [f"    {url}" for url in archive.urls]
    return lines


def _as_json(entry: SetEntry, here: Path | None) -> dict[str, object]:
    return {
        "name": entry.name,
        "title": entry.title,
        "path": None if here is None else str(here),
        "pictures": {part or "all": n for part, n in entry.counts.items()},
        "classes": entry.classes,
        "download_bytes": entry.size,
        "unpacked_bytes": entry.room,
        "licence": entry.licence,
        "citation": entry.citation,
        "homepage": entry.homepage,
        "notes": list(entry.notes),
        "archives": [
            {
                "name": a.name,
                "bytes": a.size,
                "checksum": a.digest,
                "vouched_by": a.vouched_by,
                "urls": list(a.urls),
            }
            for a in entry.archives
        ],
    }
