"""Lists, folders of tars and single images behind a real server on this machine."""

import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from zerolabel.data.images import ImageSet, Unreadable
from zerolabel.errors import InputError

pytest.importorskip("aiohttp", reason="fsspec's driver of http is not installed")


class Quiet(SimpleHTTPRequestHandler):
    """A plain server, which knows no ranges."""

    def log_message(self, *_):
        pass


class Ranges(Quiet):
    """A server that gives parts of files, as object storage does."""

    def do_GET(self):
        wanted = self.headers.get("Range")
        if wanted is None:
            super().do_GET()
            return
        with open(self.translate_path(self.path), "rb") as file:
            data = file.read()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else len(data)]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def end_headers(self):
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()


@pytest.fixture
def serve(photo, tmp_path):
    (tmp_path / "a b.png").write_bytes(photo())
    (tmp_path / "list.csv").write_text("file_name\na%20b.png\ngone.png\n")
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        for i in range(4):
            info = tarfile.TarInfo(f"{i}.png")
            info.size = len(photo(number=i))
            file.addfile(info, io.BytesIO(photo(number=i)))
    servers = []

    def start(handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_list_and_its_images(serve, photo, tmp_path):
    url = serve(Quiet)
    images = ImageSet.open(f"{url}/list.csv")
    assert images.file_names == ("a%20b.png", "gone.png") and images.read_bytes(0) == photo()
    with pytest.raises(Unreadable, match="no such file"):
        images.read(1)
    (tmp_path / "here.txt").write_text(f"{url}/a%20b.png\n")
    assert ImageSet.open(tmp_path / "here.txt").read(0).size == (64, 48)
    with pytest.raises(InputError, match="folder or list of images"):
        ImageSet.open(f"{url}/none.csv")


@pytest.mark.parametrize("handler", [Ranges, Quiet])
def test_a_tar(handler, serve, photo):
    images = ImageSet.open(f"{serve(handler)}/x.tar")
    assert images.file_names == tuple(f"x.tar/{i}.png" for i in range(4))
    assert images.read_bytes(2) == photo(number=2)
