"""Collecting what is wrong with a dataset, so that one look lists everything."""

import contextlib


class NoImages(ValueError):
    """A split without images: wrong where it is asked for, but no problem of the dataset."""


class Problems(list):
    """Sentences about the files of a dataset. A loader goes on after a problem, and reports at its end.

    Args:
        name: of the dataset, for the hint where to see all of them.
    """

    def __init__(self, name):
        super().__init__()
        self.name = name

    @contextlib.contextmanager
    def caught(self):
        """Keep the sentence of a ValueError, and go on after the block."""
        try:
            yield
        except ValueError as error:
            self.append(str(error))

    def report(self, found=None):
        """Raise a ValueError with the first problem, or give all of them to the list `found`."""
        if found is not None:
            found.extend(problem for problem in self if problem not in found)
        elif self:
            more = (
                f" ({len(self) - 1} more problems in {self.name}: `deepsim check` lists them.)" if len(self) > 1 else ""
            )
            raise ValueError(self[0] + more)
