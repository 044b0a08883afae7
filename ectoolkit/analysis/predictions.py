"""What a classifier says of each image, before and after quantization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def prediction_table(
    scores: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    image_names: Sequence[str],
    labels: Sequence[int | None] | None = None,
) -> pd.DataFrame:
    """One row an image: the top class by each way of computing.

    Args:
        scores: ``(images, classes)`` by the name of its column, for example ``{"float": ..., "int8": ...}``.
        class_names: of the classes.
        image_names: of the images.
        labels: true classes, None where unknown.

    Columns: ``image``; ``label`` (where any is known); one column for each of `scores` with the class's name; ``agree``
    whether all of them name one class.
    """
    top = {column: np.asarray(values).argmax(axis=1) for column, values in scores.items()}
    known = labels is not None and any(label is not None for label in labels)
    rows = []
    for index, image in enumerate(image_names):
        row: dict[str, object] = {"image": image}
        if known and labels is not None:
            label = labels[index]
            row["label"] = None if label is None else class_names[label]
        row |= {column: class_names[int(best[index])] for column, best in top.items()}
        row["agree"] = len({int(best[index]) for best in top.values()}) == 1
        rows.append(row)
    return frame(rows, ["image", *(["label"] if known else []), *top, "agree"])


TOP_COLUMNS = ("image", "name", "by", "rank", "class", "share", "score")


def top_table(
    scores: Mapping[str, np.ndarray], class_names: Sequence[str], image_names: Sequence[str], count: int = 5
) -> pd.DataFrame:
    """One row an image, way of computing, and rank.

    Args:
        scores: ``(images, classes)`` by the name of the way, for example ``{"float": ..., "int8": ..., "cpu": ...}``.
        class_names: of the classes.
        image_names: of the images.
        count: how many classes of each.

    Columns: ``image`` number and its ``name``; ``by`` which way; ``rank`` from 1; ``class`` name; ``share`` of the
    softmax over all scores, 0 to 1; the ``score`` itself.

    Raises:
        InputError: fewer than one class was asked for.
    """
    if count < 1:
        raise InputError(f"count is {count}, expected at least one class")
    rows = []
    for image, name in enumerate(image_names):
        for by, values in scores.items():
            found = np.asarray(values[image], np.float64)
            shares = np.exp(found - found.max())
            shares /= shares.sum()
            # of equal scores the first class wins, as argmax has it
            for rank, best in enumerate(np.argsort(-found, kind="stable")[:count].tolist(), 1):
                numbers = (image, name, by, rank, class_names[best], float(shares[best]), float(found[best]))
                rows.append(dict(zip(TOP_COLUMNS, numbers, strict=True)))
    return frame(rows, TOP_COLUMNS)
