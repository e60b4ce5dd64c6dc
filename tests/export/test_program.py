"""Programs of torch.export are read without running what they bring along."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from imgtrain.errors import RunError
from imgtrain.export import program


class Small(torch.nn.Module):
    """Sums of colours."""

    def forward(self, pixels):
        logits = pixels.to(torch.float32).sum(dim=(1, 2))
        return logits, logits.softmax(dim=1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A good file, and pixels."""
    path = tmp_path_factory.mktemp("programs") / "good.pt2"
    pixels = np.random.default_rng(0).integers(0, 2, (3, 2, 2, 3), np.uint8)
    program.write(Small(), pixels[:2], path, '{"format": 1}')
    return path, pixels


def altered(written, tmp_path, change):
    """The same file with the entries that ``change`` makes of (name, data)."""
    bad = tmp_path / "bad.pt2"
    with zipfile.ZipFile(written[0]) as old, zipfile.ZipFile(bad, "w") as new:
        for entry in old.infolist():
            name, data = change(entry.filename, old.read(entry))
            new.writestr(name, data)
    return bad


def test_what_was_written_is_read(written):
    """The description, and the same numbers for any number of pictures."""
    path, pixels = written

    about, run = program.read(path, 1)

    assert about == '{"format": 1}'
    for some in (pixels, pixels[:1]):
        expected = Small()(torch.from_numpy(some))[1].numpy()
        np.testing.assert_allclose(run(some), expected, atol=1e-7)


class Bomb:
    """Prints where it is unpickled."""

    def __reduce__(self):
        return print, ("unpickled",)


def _in_json(old, new):
    def change(name, data):
        text = data.decode() if name.endswith("model.json") else None
        if text is None:
            return name, data
        assert old in text
        return name, text.replace(old, new).encode()

    return change


def _pickled(name, data):
    if not name.endswith("sample_inputs/model.pt"):
        return name, data
    held = io.BytesIO()
    torch.save({"x": Bomb()}, held)
    return name, held.getvalue()


def _asks_for_pickle(name, data):
    if not name.endswith("model_constants_config.json"):
        return name, data
    config = {"config": {"c": {"path_name": "tensor_0", "use_pickle": True, "is_param": False}}}
    return name, json.dumps(config).encode()


def _compiled(name, data):
    return (name, data) if "byteorder" not in name else ("bad/data/aotinductor/model/x.so", b"")


HOSTILE = {
    "a call": (_in_json("torch.ops.aten.softmax.int", "torch.hub.load"), "a call of 'torch.hub.l"),
    "a maker of calls": (
        _in_json("torch.ops.aten.softmax.int", "_operator.methodcaller"),
        "a call of '_operator.methodcaller'",
    ),
    "a file": (
        _in_json("torch.ops.aten.softmax.int", "torch.ops.aten.from_file.default"),
        "a call of 'torch.ops.aten.from_file.default'",
    ),
    "an expression": (_in_json("positive=True", "positive=print('run')"), "the expression "),
    "a guard": (_in_json('"guards_code": []', '"guards_code": ["print()"]'), "guards code"),
    "a pickle": (_pickled, "is broken or no program"),
    "a wish for pickle": (_asks_for_pickle, "use pickle"),
    "compiled code": (_compiled, "compiled code"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_more_than_arithmetic_is_refused(written, tmp_path, capfd, what):
    """Before torch sees the file; nothing in it runs."""
    change, told = HOSTILE[what]

    with pytest.raises(RunError, match=r"bad\.pt2") as refused:
        program.read(altered(written, tmp_path, change), 1)

    assert told in refused.value.message
    assert capfd.readouterr().out == ""


def test_long_expressions_take_no_time():
    """The pattern never goes back."""
    assert not program._SYMBOLS.fullmatch("1" * 50_000 + "'")
    assert not program._SYMBOLS.fullmatch("Symbol('s1', " + "a=True, " * 5_000)
    assert program._SYMBOLS.fullmatch("16*Symbol('s81', positive=True, integer=True) + s77//2")


def test_pickle_is_what_the_test_takes_it_for():
    """The bomb prints where it is unpickled."""
    assert pickle.loads(pickle.dumps(Bomb())) is None  # noqa: S301  # our own
