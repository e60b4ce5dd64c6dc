"""Addresses without their secrets: what may be printed and saved."""

from __future__ import annotations

import re


def without_password(text: str) -> str:
    """A text with the passwords of its URLs left out."""
    text = re.sub(r"(://[^:/@\s]*):\S*@", r"\1@", text)
    return re.sub(r"([?&]password=)[^&\s]*", r"\1***", text)


def without_user(address: str) -> str:
    """A URL without whom it lets in: a token may stand in the place of the name."""
    return re.sub(r"(://)[^/\s]*@", r"\1", without_password(address))
