"""Label maps: which labels of a file become which class."""

from pathlib import Path

import numpy as np

from deepsim_tf.formats import read_table


def read_label_map(label_map):
    """((label, class), ..) from a dict, from such pairs, or from a CSV file with the columns label and class.

    Raises:
        ValueError: a file that cannot be read, numbers that are no integers from 0 on, a label that occurs twice.
    """
    if isinstance(label_map, (dict, list, tuple)):
        pairs, where = (
            [tuple(pair) for pair in (label_map.items() if isinstance(label_map, dict) else label_map)],
            "label_map",
        )
    else:
        where = Path(label_map)
        table = read_table(where, "Expected the columns label and class")
        if not {"label", "class"} <= set(table.columns):
            raise ValueError(f"{where} has the columns {', '.join(map(str, table.columns))}. Expected label and class.")
        pairs = list(zip(table["label"], table["class"]))
    try:
        numbers = tuple((int(str(label)), int(str(target))) for label, target in pairs)  # int(1.5) would be 1
    except (ValueError, TypeError):
        raise ValueError(f"{where}: expected whole numbers as label and class. Received: {pairs}.") from None
    if not numbers or min(min(pair) for pair in numbers) < 0 or len({label for label, _ in numbers}) < len(numbers):
        raise ValueError(f"{where}: expected labels and classes from 0 on, each label once. Received: {pairs}.")
    return numbers


def map_labels(labels, label_map, where):
    """Labels as the classes of a label map.

    Args:
        labels: array of integers from 0.
        label_map: dict {label: class}; 0 that is not in it is background.
        where: the file, for messages.

    Returns:
        int32 array of the same shape.

    Raises:
        ValueError: a label that the map leaves out.
    """
    present = np.unique(labels)
    unknown = [int(label) for label in present if label and int(label) not in label_map]
    if unknown:
        raise ValueError(
            f"{where}: holds labels that the label map leaves out: {_few(unknown)}. Map them to a class, or to 0 to"
            " drop them."
        )
    targets = np.array([label_map.get(int(label), 0) for label in present], np.int32)
    return targets[np.searchsorted(present, labels)]


def _few(values):
    return ", ".join(map(str, values[:10])) + (" and so on" if len(values) > 10 else "")
