"""YAML values as people mean them."""

import re

import pytest

from imgtrain.settings.strict_yaml import dump, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("1_000", 1000),
        ("017", 17),
        ("-3", -3),
        ("off", "off"),
        ("yes", "yes"),
        ("true", True),
        ("12:30", "12:30"),
        ("96:0.5", "96:0.5"),
        ("2026-01-31", "2026-01-31"),
        ("0x1f", "0x1f"),
        ("~", None),
        ("", None),
        ("[1, 2]", [1, 2]),
        ("'1e-3'", "1e-3"),
    ],
)
def test_plain_values(text, value):
    """As in YAML 1.2; a list worked out by hand."""
    found = parse(f"x: {text}")["x"]

    assert found == value
    assert type(found) is type(value)


def test_merged_keys_may_be_overridden():
    """``<<`` takes over what is not written; that is no repetition."""
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n"

    assert parse(text)["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n  x: 1\n  x: 2\n", "line 3: 'x' stands here a second time"),
        ("a: 1\nb: [1\n", "line 3: expected ',' or ']', but got '<stream end>'"),
        ("a: !!python/object:os.system x", "line 1: could not determine a constructor for the tag"),
        ("a: b: c\n", "line 1: mapping values are not allowed here"),
        ("a: 1\n---\na: 2\n", "line 2: but found another document"),
        ("[" * 5000, "it is nested too deeply"),
        ("a: \x01", "unacceptable character #x0001"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text, message):
    """ValueError says where."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["1e-3", "off", "12:30", "null", "", " a", "#1", "a: b", "\n", "é"]
)
def test_text_stays_text(text):
    """What looks like something else is quoted."""
    assert parse(dump({"x": text})) == {"x": text}
