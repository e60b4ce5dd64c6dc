"""``imgtrain data clean --from-audit``: labels that a person accepted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from imgtrain import console
from imgtrain.errors import DataError

if TYPE_CHECKING:
    from imgtrain.checking.answers import Answer
    from imgtrain.checking.plan import Action

_SHOWN = 20


def plan_from_audit(root: Path, file: Path, quarantine: Path) -> list[Action]:
    """What moves where in a data folder; everything is checked first.

    Raises:
        DataError: If the list and the data do not fit together.
    """
    from imgtrain.checking.answers import read_answers, refuse_changed
    from imgtrain.checking.relabel import plan_moves
    from imgtrain.checking.tree import read_tree
    from imgtrain.data.index import read_index

    if not root.is_dir():
        raise DataError(
            f"{root} is neither a folder nor a manifest: its labels cannot be changed",
            "give the folder or manifest of the cv run as PATH",
        )
    tree = read_tree(str(root))
    answers = read_answers(file, read_index(str(root)).classes)
    plan = plan_moves(answers, tree, quarantine)
    places = {action.name: Path(os.fsdecode(action.place)) for action in plan}
    wanted = [answer for answer in answers if answer.path in places]
    refuse_changed(file, wanted, lambda path: places[path].read_bytes())
    return plan


def correct_manifest(manifest: Path, file: Path, *, apply: bool, as_json: bool) -> None:
    """Write a corrected copy of a manifest beside it, or say what would be in it.

    Raises:
        DataError: If the list and the manifest do not fit together.
        DiskError: If the copy cannot be written.
    """
    from imgtrain.checking.answers import read_answers, refuse_changed
    from imgtrain.checking.relabel import check_manifest, corrected_name, write_corrected
    from imgtrain.data.index import read_index
    from imgtrain.data.listing import count

    index = read_index(str(manifest))
    answers = check_manifest(read_answers(file, index.classes), index)
    source = index.source
    places = {source.path(i): i for i in range(len(source))}
    refuse_changed(file, answers, lambda path: source.read(places[path]))
    place = corrected_name(manifest)
    rows = write_corrected(manifest, answers, place) if apply and answers else 0
    if as_json:
        steps = [{"file": a.path, "label": a.label, "new": a.new} for a in answers]
        told = {"format": 1, "applied": bool(rows), "manifest": str(place), "plan": steps}
        console.result(json.dumps(told))
    if rows:
        console.say(f"{count(rows, 'row')} corrected; new manifest: {place}")
    elif not answers:
        console.say("nothing to clean: no row of the list is accepted")
    else:
        _tell(answers, place)


def _tell(answers: list[Answer], place: Path) -> None:
    from imgtrain.data.listing import count

    shown = answers if console.verbosity() > 0 else answers[:_SHOWN]
    for answer in shown:
        new = "left out" if answer.new is None else console.one_line(answer.new)
        console.say(f"{console.one_line(answer.path)}: {console.one_line(answer.label)} -> {new}")
    if len(answers) > len(shown):
        console.say(f"... and {len(answers) - len(shown):,} more (-v shows all)")
    console.say(f"a dry run: {count(len(answers), 'label')}; --apply writes {place}")
