"""``imgtrain data preview``: a sheet of what the model will see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imgtrain import console
from imgtrain.commands.flags import takes_settings
from imgtrain.settings.layers import Loaded


@takes_settings("data", "augment")
def preview(
    loaded: Loaded,
    *,
    pictures: Annotated[
        int, typer.Option("--pictures", metavar="N", min=1, max=200, help="Training pictures.")
    ] = 8,
    views: Annotated[
        int, typer.Option("--views", metavar="N", min=1, max=50, help="Variations of each.")
    ] = 6,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Chooses pictures and variations.")
    ] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The sheet, a PNG.")
    ] = Path("sheet.png"),
) -> None:
    """Write a sheet of what the model will see, and print where it is.

    Each row is a training picture as it is stored, and its variations under the policy.
    """
    from imgtrain.preview import Wanted, write_preview

    write_preview(loaded.settings, output, Wanted(pictures, views, seed))
    console.result(str(output))
