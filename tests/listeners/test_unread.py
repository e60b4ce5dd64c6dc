"""Classes of which nothing can be read."""

import numpy as np
from PIL import Image

from imgtrain.data.index import read_index
from imgtrain.events import EpochEnded
from imgtrain.listeners.unread import unread_classes

ENDED = EpochEnded(epoch=1, epochs=3, row={}, is_best=True)


def test_a_class_is_named_once(tmp_path, capsys):
    """All of its training pictures, not some; those of other parts do not help."""
    for name in ("ash", "oak", "yew"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("L", (4, 4), 60 * i).save(tmp_path / name / f"{i}.png")
    index = read_index(str(tmp_path))
    train = np.array([0, 1, 2, 4, 5, 6, 8, 9])
    bad = {}
    listen = unread_classes(index, train, bad)
    listen(ENDED)
    bad |= {4: "broken", 5: "broken", 6: "broken", 0: "broken"}
    for _ in range(3):
        listen(ENDED)
    bad |= {8: "broken", 9: "broken"}
    listen(ENDED)

    assert " ".join(capsys.readouterr().err.split()) == (
        "warning: class oak: none of its 3 training pictures can be read, so it is never learned "
        "warning: class yew: none of its 2 training pictures can be read, so it is never learned"
    )
