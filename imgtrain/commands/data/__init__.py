"""``imgtrain data``: everything about pictures but training on them."""

from __future__ import annotations

from imgtrain.commands.layout import lazy_app

app = lazy_app(
    "imgtrain.commands.data",
    "Fetch, check, clean and look at pictures.",
    {
        "download": "Fetch a known set and unpack it as a folder of pictures.",
        "prepare": "Make a folder of pictures from archives fetched by hand.",
        "validate": "Look at every picture and report what is wrong.",
        "clean": "Move bad pictures aside, or to other classes; and back.",
        "audit": "Find labels that are likely wrong, from a cv run.",
        "preview": "Write a sheet of what the model will see.",
    },
)
