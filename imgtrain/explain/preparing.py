"""From what a user asks to a job: one model, a method that fits it, a class that it knows."""

from __future__ import annotations

from pathlib import Path

from imgtrain.ensemble import Member, choose
from imgtrain.errors import SettingsError, nearest
from imgtrain.explain.methods import Asked, Explainer, explainer
from imgtrain.predictor import Predictor, load
from imgtrain.settings.schema import HardwareSettings

_MOST_NAMED = 10
"""Classes that a message lists."""


def one_model(run: str | None, output: Path, hardware: HardwareSettings) -> tuple[str, Predictor]:
    """A run's model and its name.

    Args:
        run: Its name, folder or file; the newest in ``output`` if not given.
        output: Folder that holds the runs.
        hardware: Where it computes.

    Raises:
        RunError: If it is not there or broken.
        SettingsError: If it is several models.
    """
    chosen = choose(run, output)
    first = chosen.files[0]
    if len(chosen.files) > 1:
        raise SettingsError(
            f"{first.parent.parent} is {len(chosen.files)} models as one, which look at different "
            "places",
            f"name one of them, as in {first.parent}",
        )
    own = first.name != "model.safetensors"
    name = first.name if own else first.resolve().parent.name
    return name, load(first, output=output, hardware=hardware)


def settled(predictor: Predictor, asked: Asked, of: str | None) -> Explainer:
    """The method for the model, once it is known that the class can be asked for.

    Raises:
        SettingsError: If the method does not fit the model, or the class neither method nor model.
    """
    member = predictor.members[0]
    if not isinstance(member, Member):
        raise SettingsError(
            "an exported file shows nothing of what is inside", "explain the run that it came from"
        )
    found = explainer(member, asked)
    if of is None:
        return found
    if not found.of_a_class:
        raise SettingsError(
            f"--class has no effect with --method {found.method}: where it looks is the same for "
            "every class",
            "leave it out, or take --method gradient-attention",
        )
    classes = predictor.classes
    if of not in classes:
        more = ", ..." if len(classes) > _MOST_NAMED else ""
        raise SettingsError(
            f"--class {of}: the model knows no such class{nearest(of, classes)}",
            f"its classes are {', '.join(classes[:_MOST_NAMED])}{more}",
        )
    return found
