"""``imgtrain bench``: measurements."""

from __future__ import annotations

from imgtrain.commands.layout import lazy_app

app = lazy_app(
    "imgtrain.commands.bench",
    "Measure how fast this machine reads pictures.",
    {"data": "Pictures per second: bare decoding, a cold epoch and a warm one."},
)
