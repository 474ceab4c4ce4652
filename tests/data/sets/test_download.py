import dataclasses
import hashlib
import http.server
import io
import os
import resource
import socket
import threading
import time
import zipfile

import pytest

import deepsim_tf.data.sets.download as module
from deepsim_tf.data.sets.download import download
from deepsim_tf.data.sets.phc_u373 import DOWNLOAD

NAME = "PhC-C2DH-U373"
FILES = {
    f"{NAME}/{folder}/{file}.tif": os.urandom(3000)
    for folder in ("01", "02", "01_ST/SEG", "02_ST/SEG")
    for file in ("a", "b")
}


def zipped(files=FILES):
    """A zip of {name or ZipInfo: content}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def link(name):
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, 0o120777 << 16  # Unix, symbolic link
    return member


@pytest.fixture
def server():
    """`server(answer, status, length, pause)`.

    The address of a local web server, which gives the same answer to every GET.
    """
    started = []

    def start(answer, status=200, length=None, pause=0):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                time.sleep(pause)
                self.send_response(status)
                if length is not False:
                    self.send_header("Content-Length", len(answer) if length is None else length)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        requests = start.requests = []
        running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}).start()
        started.append(running)
        return f"http://127.0.0.1:{running.server_port}/{NAME}.zip"

    yield start
    for running in started:
        running.shutdown()
        running.server_close()


@pytest.fixture
def refused(tmp_path):
    """`refused(url, message, source)`: the download fails in one line that matches, and the folder stays empty."""

    def check(url, message, source=DOWNLOAD):
        with pytest.raises(ValueError, match=message) as caught:
            download(source, tmp_path, url=url, verbose=0)
        assert "\n" not in str(caught.value)
        assert os.listdir(tmp_path) == []

    return check


@pytest.mark.parametrize("length", [None, False])  # with the header Content-Length, and without
def test_the_dataset_is_unpacked_whole_and_nothing_else_is_left(tmp_path, server, length):
    url = server(zipped({**FILES, "__MACOSX/._01": b"", "download.zip": b"no zip"}), length=length)
    path = download(DOWNLOAD, tmp_path / "data", url=url)
    assert path == tmp_path / "data" / NAME and os.listdir(tmp_path / "data") == [NAME]
    assert {str(file.relative_to(path.parent)): file.read_bytes() for file in path.rglob("*.tif")} == FILES


def test_a_second_download_does_nothing(tmp_path, server, capsys):
    url = server(zipped())
    first = download(DOWNLOAD, tmp_path, url=url, verbose=0)
    assert capsys.readouterr() == ("", "")
    assert download(DOWNLOAD, tmp_path, url=url) == first and len(server.requests) == 1


def test_progress_is_shown(tmp_path, server, capsys):
    download(DOWNLOAD, tmp_path, url=server(zipped()))
    assert "100%" in capsys.readouterr().err


def test_an_incomplete_dataset_is_named_and_kept(tmp_path):
    (tmp_path / NAME / "01").mkdir(parents=True)
    with pytest.raises(
        ValueError,
        match="exists, but is incomplete: no folder 02, 01_ST/SEG, 02_ST/SEG. .* Remove it to download it again",
    ):
        download(DOWNLOAD, tmp_path)
    assert (tmp_path / NAME / "01").is_dir()


@pytest.mark.parametrize("status", [403, 404, 503])
def test_an_error_of_the_server_is_reported_with_the_way_by_hand(server, refused, status):
    url = server(b"sorry", status)
    refused(
        url,
        f"Could not download {url}: {status} .* By hand: fetch {DOWNLOAD.url} and unpack it in .*, so that"
        f" .*{NAME}/01 exists.",
    )


def test_a_closed_port_is_reported(refused):
    with socket.socket() as free:  # a port that nobody listens to
        free.bind(("127.0.0.1", 0))
        refused(
            f"http://127.0.0.1:{free.getsockname()[1]}/a.zip",
            "Could not download http://127.0.0.1:.*/a.zip: .*refused.* By hand",
        )


@pytest.mark.parametrize("url", ["no address", "ftp://127.0.0.1/a.zip", "http://"])
def test_what_is_no_web_address_is_reported(refused, url):
    refused(url, f"Could not download {url}: .* Check the address")


def test_a_server_that_stays_silent_is_given_up(server, refused, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", (1, 0.1))
    refused(server(zipped(), pause=0.4), "Could not download .*[Tt]imed out.* By hand")


def test_an_answer_cut_short_is_refused(server, refused):
    content = zipped()
    refused(server(content[:9000], length=len(content)), "Could not download .* By hand")
    # Without a length only the zip itself can tell.
    refused(
        server(content[:9000], length=False),
        r"gave no complete zip: .* Received 9000 bytes that begin with b['\"]PK.* pass another url",
    )


def test_an_answer_shorter_than_announced_is_refused_where_the_client_lets_it_pass(server, refused, monkeypatch):
    class Patient(module.pooch.HTTPDownloader):
        def __call__(self, url, output_file, pooch):
            super().__call__(url, output_file, pooch)
            os.truncate(output_file, 9000)

    monkeypatch.setattr(module.pooch, "HTTPDownloader", Patient)
    content = zipped()
    refused(server(content), f"gave 9000 bytes where the server announced {len(content)}. Try again later. By hand")


@pytest.mark.parametrize("answer", [b"<html>Please log in</html>", b""])
def test_an_answer_that_is_no_zip_is_refused(server, refused, answer):
    refused(server(answer), f"gave no complete zip: .* Received {len(answer)} bytes that begin with {answer[:20]!r}")


def test_a_zip_with_changed_bytes_is_refused(server, refused):
    content = bytearray(zipped())
    content[1500] ^= 255  # within the first file
    refused(server(bytes(content)), "gave no complete zip: ")


def test_a_zip_of_something_else_is_refused(server, refused):
    refused(
        server(zipped({f"{NAME}/01/a.tif": b"", f"{NAME}/02/a.tif": b""})),
        "is not PhC-C2DH-U373: no folder 01_ST/SEG, 02_ST/SEG. .* By hand",
    )


OUTSIDE = [
    "../a.tif",
    f"{NAME}/../../a.tif",
    f"{NAME}\\..\\..\\a.tif",
    "/tmp/a.tif",
    "C:\\a.tif",
    "c:a.tif",
    "\\\\host\\share\\a",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_member_that_points_outside_is_named(server, refused, name):
    refused(server(zipped({**FILES, name: b"evil"})), "has the member .*, which points outside. Nothing was unpacked")


def test_a_symbolic_link_is_refused(server, refused):
    refused(server(zipped({**FILES, link(f"{NAME}/03"): "/etc"})), f"has the member '{NAME}/03', which points outside")


def test_size_and_hash_are_checked_where_they_are_known(tmp_path, server, refused):
    content = zipped()
    url, digest = server(content), hashlib.sha256(content).hexdigest()

    def know(**facts):
        return dataclasses.replace(DOWNLOAD, **facts)

    longer, other = know(size=len(content) + 1), know(size=len(content), sha256="0" * 64)
    refused(
        url, f"gave {len(content)} bytes where the dataset has {len(content) + 1}. Try again later. By hand", longer
    )
    refused(url, f"gave a file with sha256 {digest}. Expected 0000.*: it was changed", other)
    right = know(size=len(content), sha256=digest, url=url)
    assert download(right, tmp_path, verbose=0).is_dir()  # from the address's own url


@pytest.mark.parametrize("room", [5_000, 26_000])  # bytes a file may have: too few for the zip, or for a file in it
def test_a_full_disk_leaves_nothing_behind(server, refused, room):
    url = server(zipped({**FILES, f"{NAME}/01/large.tif": bytes(100_000)}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        refused(url, "Cannot write PhC-C2DH-U373 to .*: File too large. Nothing was left there: free space")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_cannot_be_written_is_named(tmp_path, server):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="Cannot write PhC-C2DH-U373 to .*file: "):
        download(DOWNLOAD, tmp_path / "file", url=server(zipped()))
