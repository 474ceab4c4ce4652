"""Damage to valid files.

Bytes flipped, put in, taken out and cut off, and the same inside of archives, whose checksums are then right again.
"""

import gzip
import io
import json
import zipfile

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

# The same cases every time; a failing one is shown as it is drawn.
FUZZ = settings(
    derandomize=True, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
HEADER = 400  # bytes in which most formats say what follows
# As a size, an offset or a voxel, in either byte order: none, the largest numbers, NaN, infinity.
NUMBERS = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff",
    b"\0\0\xc0\x7f",
    b"\0\0\x80\x7f",
    b"\xff\x7f",
    b"\x7f\xff",
    b"\0\x80",
]
VALUES = [None, True, -1, 0, 0.5, 1e308, 10**30, "x", "", "../x", [], {}, ["x"], [-1, "x"], {"x": 1}, [[[]]]]
WORDS = [
    '"',
    ",",
    "\n",
    "\r",
    ";",
    "\t",
    "\0",
    "\ufeff",
    "../",
    " ",
    "nan",
    "1e999",
    "-1",
    "é",
    "#",
    "'",
    '""\n',
    "x" * 5000,
    ",,,\n",
]


@st.composite
def damaged(draw, name, content):
    """The content of a file after damage that suits the ending of its name; rarely, the damage changes nothing."""
    outer = draw(st.integers(0, 3)) == 0  # of the file as it lies on the disk
    if outer and not name.endswith(".csv"):
        return draw(damaged_bytes(content))
    if name.endswith((".gz", ".mgz")):
        return gzip.compress(draw(damaged_bytes(gzip.decompress(content))), mtime=0)
    if name.endswith((".npz", ".keras")):
        return draw(damaged_archive(content))
    if name.endswith(".json"):
        return draw(damaged_json(content))
    if name.endswith(".csv"):
        return draw(damaged_text(content))
    return draw(damaged_bytes(content))


@st.composite
def damaged_bytes(draw, content):
    """One to three bytes or short stretches changed, or the end cut off."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        last = max(len(content) - 1, 0)
        place = draw(st.integers(0, min(last, HEADER)) if draw(st.booleans()) else st.integers(0, last))
        match draw(st.sampled_from(["flip", "put", "put", "insert", "remove", "cut", "repeat"])):
            case "flip" if content:
                content[place] ^= 1 << draw(st.integers(0, 7))
            case "put":
                number = draw(st.sampled_from(NUMBERS))
                content[place : place + len(number)] = number
            case "insert":
                content[place:place] = draw(st.binary(min_size=1, max_size=8))
            case "remove":
                del content[place : place + draw(st.integers(1, 64))]
            case "cut":
                del content[place:]
            case "repeat":
                content[place:place] = content[place : place + draw(st.integers(1, 64))]
    return bytes(content)


@st.composite
def damaged_archive(draw, content):
    """A zip in which one member is damaged, left out, or doubled."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    number = draw(st.integers(0, len(members) - 1))
    name, inside = members[number]
    what = draw(st.sampled_from(["damage"] * 8 + ["remove", "double"]))
    if what == "damage":
        members[number] = name, draw(damaged_json(inside) if name.endswith(".json") else damaged_bytes(inside))
    elif what == "remove":
        del members[number]
    else:
        members.append((f"../{name}", inside))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, inside in members:
            archive.writestr(
                zipfile.ZipInfo(name), inside
            )  # ZipInfo: the date of 1980, and so the same bytes every time
    return written.getvalue()


@st.composite
def damaged_json(draw, content):
    """JSON in which one to three entries have another value or name, or are gone."""
    tree = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        what = draw(st.sampled_from(["value", "value", "value", "remove", "rename"]))
        if what == "value":
            holder[key] = draw(st.sampled_from(VALUES))
        else:
            value = holder.pop(key)
            if what == "rename" and isinstance(holder, dict):
                holder[f"{key}_"] = value
    return json.dumps(tree).encode()


def _places(tree):
    """(dict or list, key or index) of all entries, those inside of others too."""
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


@st.composite
def damaged_text(draw, content):
    """A CSV file with quotes, separators, line ends, signs and long words put in, or a part taken out.

    In one of three encodings.
    """
    text = content.decode()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        if draw(st.integers(0, 3)):
            text = text[:place] + draw(st.sampled_from(WORDS)) + text[place:]
        else:
            text = text[:place] + text[place + draw(st.integers(1, 30)) :]
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "latin-1", "utf-16"])), errors="replace")
