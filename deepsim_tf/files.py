"""Files that are whole or not there."""

import contextlib
import os
import pathlib
import tempfile


@contextlib.contextmanager
def written_aside(path):
    """A temporary path beside `path` that takes its name when the block ends well, and vanishes otherwise.

    Example:
        >>> with written_aside("runs/a/pairs.csv") as aside:
        ...     table.to_csv(aside)
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, because Keras insists on the ending of a file's name.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        aside = pathlib.Path(folder) / path.name
        yield aside
        os.replace(aside, path)
