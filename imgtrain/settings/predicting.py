"""Settings of prediction: what is said of a picture, and how pictures are scored."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt

from imgtrain.errors import SettingsError
from imgtrain.settings.fields import FREE, Auto, Flag, Section, number_or_word


class PredictSettings(Section):
    """How pictures are scored."""

    top_k: Annotated[PositiveInt, Flag(("--top-k", "-k"), identity="free")] = 5
    """How many classes to show per picture."""

    threshold: Annotated[
        Annotated[float, Field(gt=0, le=1)] | None, Flag(metavar="P", identity="free")
    ] = None
    """Least probability of an answer; a picture whose likeliest class has less is called unsure."""

    coverage: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | None, Flag(metavar="SHARE", identity="free")
    ] = None
    """Give each picture a set of classes; so many of the sets hold the right one, as in 0.95."""

    batch_size: Annotated[
        Auto | PositiveInt,
        BeforeValidator(number_or_word),
        Flag(("--predict-batch-size",), metavar="N|auto", identity="free"),
    ] = "auto"
    """Pictures scored together; auto: 64, in pieces where memory is short."""

    urls: Annotated[bool, FREE] = False
    """Fetch pictures whose names begin with http:// or https://."""


def check_urls(*, urls: bool, offline: bool) -> None:
    """Addresses are fetched or no socket is opened."""
    if urls and offline:
        raise SettingsError(
            "--urls fetches pictures, --offline opens no socket", "leave out one of them"
        )
