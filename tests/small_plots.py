"""Plots of a few pixels for tests that look at everything else; tests/report has large ones."""

from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine


class SmallFigure(Figure):
    """Drawn in a tenth of the time: few dots, and nothing is laid out."""

    def __init__(self, *rest, **more):
        more |= {"dpi": 15, "layout": PlaceHolderLayoutEngine(True, True)}
        super().__init__(*rest, **more)
