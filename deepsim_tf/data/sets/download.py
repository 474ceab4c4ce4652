"""Public datasets from their own servers, checked and unpacked whole."""

import dataclasses
import lzma
import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

import pooch
import requests
from tqdm import tqdm

from deepsim_tf.files import written_aside

TIMEOUT = 20, 60  # seconds to connect, and between two pieces of an answer


@dataclasses.dataclass(frozen=True)
class Download:
    """Where a dataset is published.

    Args:
        url: address of the zip.
        name: of the folder in it.
        needed: folders that it must hold.
        size, sha256: of the zip, size in bytes, where they are known.
    """

    url: str
    name: str
    needed: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None


def download(source, folder, *, url=None, verbose=1):
    """Fetch a public dataset and unpack it; where it is already there, do nothing.

    The zip is fetched and unpacked in a temporary folder inside `folder`: the dataset appears complete or not at all,
    and an interruption leaves at most a hidden folder behind. Mind the data's terms: the Cell Tracking Challenge asks
    to be cited.

    Args:
        source: the Download of a data set, as in `recipes.DATASETS["phc-u373"].download`.
        folder: where to put it; room is needed for the zip and for its contents.
        url: another address of the same zip, such as a mirror's.
        verbose: 0 for no progress bar and no messages.

    Returns:
        pathlib.Path of the dataset, such as FOLDER/PhC-C2DH-U373, as its function and --data take it.

    Raises:
        ValueError: no connection, an error or a truncated answer of the server, another size or hash
            than expected, a damaged or malicious zip, one without the dataset, a folder that cannot be written.

    Example:
        >>> root = download(recipes.DATASETS["phc-u373"].download, "data")
        >>> images = ds.data.phc_u373(root, "train")

    Reference: celltrackingchallenge.net/2d-datasets
    """
    folder = Path(folder)
    target, url = folder / source.name, url or source.url
    if target.exists():
        _check_contents(target, source, f"{target} exists, but is incomplete", "Remove it to download it again.")
        return target
    by_hand = f"By hand: fetch {source.url} and unpack it in {folder}, so that {target / source.needed[0]} exists."
    try:
        with written_aside(target) as aside:
            archive = aside.with_name("download.zip")
            _fetch(url, archive, source, by_hand, verbose)
            _unpack(archive, aside.parent, source, url)
            _check_contents(aside, source, f"The zip from {url} is not {source.name}", by_hand)
            archive.unlink()
    except OSError as error:  # a full disk, a folder without permission
        reason = error.strerror or error
        raise ValueError(
            f"Cannot write {source.name} to {folder}: {reason}. Nothing was left there: free space, or choose another"
            " folder."
        ) from error
    return target


def _fetch(url, file, source, by_hand, verbose):
    """Write the answer of a server to a file, and refuse one that is not the whole."""
    # Not compressed on the way, so that the header Content-Length counts the same bytes as the file.
    request = {"timeout": TIMEOUT, "headers": {"Accept-Encoding": "identity"}}
    # pooch sets the bar's total to Content-Length, or to 0 where there is none; before that, tqdm needs any total.
    with tqdm(desc=source.name, total=1, unit="B", unit_scale=True, disable=not verbose) as bar:
        try:
            pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, **request)(url, str(file), None)
        except requests.RequestException as error:
            raise ValueError(
                f"Could not download {url}: {' '.join(str(error).split())}. Check the address and the connection."
                f" {by_hand}"
            ) from error
        announced = bar.total
    received = file.stat().st_size
    for expected, who in ((announced, "the server announced"), (source.size, "the dataset has")):
        if expected and received != expected:
            raise ValueError(f"{url} gave {received} bytes where {who} {expected}. Try again later. {by_hand}")
    if source.sha256 and pooch.file_hash(str(file)) != source.sha256:
        raise ValueError(
            f"{url} gave a file with sha256 {pooch.file_hash(str(file))}. Expected {source.sha256}: it was changed."
            f" {by_hand}"
        )


def _unpack(archive, folder, source, url):
    """Unpack the members under the dataset's name, after a look at all of them."""
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                _check_member(member, url)
            damaged = file.testzip()
            if damaged:
                raise zipfile.BadZipFile(f"member {damaged} has another checksum")
            # Only those: __MACOSX and the like stay out, and nothing can overwrite the archive beside.
            file.extractall(folder, [name for name in file.namelist() if name.startswith(f"{source.name}/")])
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,
    ) as error:  # RuntimeError: encrypted, or an unknown method
        with open(archive, "rb") as file:
            start = file.read(20)
        received = f"{archive.stat().st_size} bytes that begin with {start!r}"
        raise ValueError(
            f"{url} gave no complete zip: {error}. Received {received}. Try again later, or pass another url."
        ) from error


def _check_member(member, url):
    """Refuse a member that would be written outside the folder, or that is a link out of it."""
    # As a Windows path, which takes both / and \\ for separators and knows drive letters.
    path = PureWindowsPath(member.orig_filename)
    if path.anchor or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
        name = member.orig_filename
        raise ValueError(
            f"The zip from {url} has the member {name!r}, which points outside. Nothing was unpacked: do not use this"
            " file."
        )


def _check_contents(folder, source, problem, advice):
    missing = [name for name in source.needed if not (folder / name).is_dir()]
    if missing:
        raise ValueError(
            f"{problem}: no folder {', '.join(missing)}. Expected {', '.join(source.needed)} in {source.name}. {advice}"
        )
