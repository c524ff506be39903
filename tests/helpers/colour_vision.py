"""Colours as people see them: contrast by WCAG 2.1, and colour blindness by Machado, Oliveira and Fernandes (2009)."""

from __future__ import annotations

import numpy as np

#: Full dichromacy, over linear RGB: the paper's table for severity 1.0.
MACHADO = {
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
SIGHTS = ("full", *MACHADO)
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    """`#rrggbb` as linear RGB [3], each from 0 to 1."""
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    light, dark = sorted((float(_TO_XYZ[1] @ linear(colour)) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(colour: str, sight: str = "full") -> np.ndarray:
    """CIELAB [3] under D65 of a colour as an eye of that sight sees it."""
    seen = linear(colour) if sight == "full" else np.clip(np.array(MACHADO[sight]) @ linear(colour), 0, 1)
    ratio = _TO_XYZ @ seen / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(one: str, other: str, sight: str = "full") -> float:
    """The CIE76 distance of two colours; about 2.3 is just noticeable."""
    return float(np.linalg.norm(lab(one, sight) - lab(other, sight)))
