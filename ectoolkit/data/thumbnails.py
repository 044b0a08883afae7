"""A row of small pictures for a notebook. Never fails: a picture that cannot be read is named instead."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from ectoolkit.data.labels import class_name
from ectoolkit.data.sources import Item
from ectoolkit.errors import EctoolkitError

#: longest side of a thumbnail; pixels
SIDE = 96
#: at about 3 kB each a notebook that shows a set grows by 40 kB, not by megabytes
SHOWN = 12


def row_of_pictures(title: str, items: Sequence[Item]) -> str:
    """The first `SHOWN` images as HTML, with names and labels, and how many more there are.

    Args:
        title: above them, plain text.
        items: of an image set.
    """
    figures = "".join(_figure(item) for item in items[:SHOWN])
    hidden = len(items) - SHOWN
    rest = f'<div style="align-self:center">and {hidden} more</div>' if hidden > 0 else ""
    return (
        f"<div><div>{escape(title)}</div>"
        f'<div style="display:flex;flex-wrap:wrap;gap:8px;margin-top:6px">{figures}{rest}</div></div>'
    )


def _figure(item: Item) -> str:
    caption = escape(item.name).replace("_", "_<wbr>")  # a line ends there rather than inside of a word
    if item.label is not None:
        caption += f"<br>{escape(_label_text(item.label, item.imagenet))}"
    try:
        picture = f'<img alt="{escape(item.name)}" src="{thumbnail(item)}">'
    except EctoolkitError as error:
        picture = f"<div>{escape(str(error))}</div>"
    style = f"margin:0;width:{SIDE + 16}px;font-size:11px;line-height:1.3;overflow-wrap:anywhere"
    return f'<figure style="{style}">{picture}<figcaption>{caption}</figcaption></figure>'


def _label_text(label: int, imagenet: bool) -> str:
    """The index, and its name where the classes are known to be ImageNet's; a set of digits has labels too."""
    try:
        return f"{label} {class_name(label)}" if imagenet else str(label)
    except EctoolkitError:  # torchvision, which has the names, may be missing
        return str(label)


def thumbnail(item: Item) -> str:
    """One picture as a ``data:`` address, JPEG, at most `SIDE` pixels a side; a tiny one is enlarged.

    Raises:
        InputError: it cannot be read.
    """
    picture = item.source.open()
    from PIL.Image import Resampling  # an optional package, which `image` has found already

    times = SIDE // max(picture.size)
    if times > 1:  # a digit of 8 pixels would be a dot; its pixels stay squares
        picture = picture.resize((picture.width * times, picture.height * times), Resampling.NEAREST)
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
