"""CSV files as tables of text."""

import os

import pandas


def read_table(path, expected):
    """The cells of a CSV file as text, without spaces around them.

    `expected` ends the messages about a file that is none.
    """
    if not os.path.isfile(path):
        raise ValueError(f"No file {path}. Expected a CSV file; check its name.")
    try:
        # Every cell as text: an identifier such as 007 is no number, and "NA" may be a name.
        table = pandas.read_csv(
            path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig"
        ).fillna("")
    except (ValueError, UnicodeDecodeError) as error:  # pandas's ParserError and EmptyDataError are ValueErrors
        raise ValueError(f"{path} cannot be read as a CSV file ({' '.join(str(error).split())}). {expected}.") from None
    table.columns = [
        " ".join(str(column).split()) for column in table
    ]  # a quoted name may hold line ends, and messages are one line
    if not isinstance(
        table.index, pandas.RangeIndex
    ):  # pandas takes the surplus for names of the rows, and shifts the columns
        raise ValueError(
            f"{path} has more cells in its rows than columns in its header ({', '.join(table)}). {expected}."
        )
    if len(table.columns) == 1 and ";" in table.columns[0]:
        raise ValueError(
            f"{path} is separated by semicolons. Expected commas between the cells: save it as CSV with commas."
        )
    return table.apply(lambda column: column.str.strip())
