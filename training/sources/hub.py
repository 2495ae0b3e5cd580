"""Data sets of the Hugging Face hub, read by the `datasets` library (extra `training-hub`).

This project's CI can neither install the library nor reach the hub: the code below follows the library's documented
interface and is tested against a stand-in that was written after it. It has never been run against the hub itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from training.recipe import HubDataset
from training.sources.tables import DataError, Row


def dataset_name(hub: HubDataset) -> str:
    """The name in errors, where other sources have a file name: hub:stanfordnlp/imdb/train."""
    return "/".join(["hub:" + hub.id, *([hub.config] if hub.config else []), hub.split])


def hub_rows(hub: HubDataset, columns: tuple[str, ...]) -> Iterator[Row]:
    """Rows of a data set with the `columns` only, numbered from 1 as lines are; classes are given by their names.

    Raises DataError when the library is not installed or cannot load the data set, and for a missing column.
    """
    name = dataset_name(hub)
    try:
        import datasets
    except ImportError:
        raise DataError("needs the library `datasets`: pip install 'sentiment-streamer[training-hub]'", name) from None
    try:
        rows = datasets.load_dataset(hub.id, name=hub.config, split=hub.split, revision=hub.revision)
    except Exception as error:  # The library's errors, the network's and those of parsers share no other base.
        raise DataError(f"cannot be loaded: {type(error).__name__}: {error}", name) from error
    if missing := [column for column in columns if column not in rows.features]:
        raise DataError(f"no such column; there are {', '.join(rows.features)}", name, None, missing[0])
    classes = {
        column: rows.features[column] for column in columns if isinstance(rows.features[column], datasets.ClassLabel)
    }
    # Other columns may hold pictures, which would be decoded.
    for number, row in enumerate(rows.select_columns(list(dict.fromkeys(columns))), start=1):
        for column, feature in classes.items():
            if isinstance(row[column], int) and 0 <= row[column] < feature.num_classes:  # -1 and None: no label.
                row[column] = feature.int2str(row[column])
        yield number, row
