"""Lists and parquet files of other shapes, and what a list from elsewhere may name."""

import io
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zerolabel.data.images import ImageSet, Unreadable
from zerolabel.data.images.remote import ALLOW, _is_local
from zerolabel.data.images.stores import Files
from zerolabel.errors import InputError


@pytest.fixture
def folder(photo, tmp_path):
    (tmp_path / "p").mkdir()
    for i in range(3):
        (tmp_path / "p" / f"{i}.png").write_bytes(photo(number=i))
    return tmp_path


NAMES = ("p/gone.png", "p/0.png", "p/1.png")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "p/gone.png,0\np/0.png,0\np/1.png,1\n"),
        ("l.csv", "cat,p/gone.png\ncat,p/0.png\ndog,p/1.png\n"),
        ("l.tsv", "p/gone.png\t0\np/0.png\t0\np/1.png\t1\n"),
        ("l.csv", '"p/gone.png";"x,y"\r\n"p/0.png";\r\n"p/1.png";z\r\n'),
        ("l.csv", "id,Image Path\n7,p/gone.png\n8,p/0.png\n9,p/1.png\n"),
        ("l.csv", "note;filename\n7;p/gone.png\n8;p/0.png\n9;p/1.png\n"),
        ("l.csv", "what,ever\np/gone.png,2\np/0.png,1\np/1.png,3\n"),
        ("l.csv", "p/gone.png\np/0.png\np/1.png\n"),
        ("l.txt", "p/gone.png\np/0.png\r\np/1.png"),
        ("l.txt", "p/gone.png 4\np/0.png 5\np/1.png 6\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_of_every_shape(name, text, encoding, folder):
    (folder / name).write_text(text, encoding=encoding, newline="")
    images = ImageSet.open(folder / name)
    if text.startswith("what"):  # a head that says nothing, above names
        assert images.file_names[-2:] == NAMES[1:]
    else:
        assert images.file_names == NAMES
    with pytest.raises(Unreadable, match="no such file"):
        images.read(0)
    assert images.read(len(images) - 1).size == (64, 48)


def contents(photo):
    return [photo(number=i) for i in range(4)]


SHAPES = {
    "binary": lambda data: pa.array(data, pa.binary()),
    "large": lambda data: pa.array(data, pa.large_binary()),
    "view": lambda data: pa.array(data, pa.binary_view()),
    "dictionary": lambda data: pa.array(data, pa.binary()).dictionary_encode(),
    "chunked": lambda data: pa.chunked_array([pa.array(data[:1], pa.binary()), pa.array(data[1:], pa.binary())]),
    "bytes and path": lambda data: pa.array([{"bytes": one, "path": None} for one in data]),
    "large in a structure": lambda data: pa.array(
        [{"bytes": one} for one in data], pa.struct({"bytes": pa.large_binary()})
    ),
}


@pytest.mark.parametrize("column", ["image", "content", "0"])
@pytest.mark.parametrize("shape", SHAPES)
def test_parquet_of_bytes(shape, column, photo, tmp_path):
    data = contents(photo)
    table = pa.table({"id": list(range(4)), column: SHAPES[shape](data), "text": ["x.png"] * 4})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    images = ImageSet.open(tmp_path / "a.parquet")
    assert [images.read_bytes(i) for i in range(len(images))] == data


@pytest.mark.parametrize(
    "column",
    [
        {"file_name": pa.array(["p/0.png", "p/1.png"])},
        {"id": pa.array([1, 2]), "path": pa.array(["p/0.png", "p/1.png"], pa.large_string())},
        {"id": pa.array([1, 2]), "x": pa.array(["p/0.png", "p/1.png"]).dictionary_encode()},
        {"hash": pa.array([b"\1\2", b"\3\4"]), "image": pa.array(["p/0.png", "p/1.png"])},
        {"image": pa.array([{"path": "p/0.png"}, {"path": "p/1.png"}])},
        {"image": pa.array([{"path": "p/0.png", "bytes": None}, {"path": "p/1.png", "bytes": None}])},
    ],
    ids=lambda column: "-".join(f"{name}_{values.type}" for name, values in column.items()),
)
def test_parquet_of_paths(column, folder):
    pq.write_table(pa.table(column), folder / "a.parquet")
    images = ImageSet.open(folder / "a.parquet")
    assert [images.read(i).size for i in range(2)] == [(64, 48)] * 2


@pytest.mark.parametrize(
    "column",
    [
        {"content": pa.array([b"\0" * 100_000, b"\1"])},
        {"n": pa.array([1, 2])},
        {"s": pa.array([{"a": 1}])},
        {"images": pa.array([[b"x"], [b"y"]])},
        {"x" * 10_000: pa.array([0.5])},
    ],
    ids=lambda column: next(iter(column))[:9],
)
def test_parquet_of_neither_names_its_columns_in_one_line(column, tmp_path):
    pq.write_table(pa.table(column), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"it has the columns {next(iter(column))[:39]}") as caught:
        ImageSet.open(tmp_path / "a.parquet")
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


REFUSED = (
    "{path}",
    "file://{path}",
    "FILE://{path}",
    "local://{path}",
    "simplecache::file://{path}",
    "blockcache::file://{path}",
    "filecache::{path}",
    "zip://x.png::file://{path}",
    "tar://x.png::file://{path}",
    "reference://x::file://{path}",
    "memory://l/0.png::file://{path}",
    "dir::file://{path}",
    "http://example.com/0.png",
    "~/0.png",
    "\\\\host\\share\\0.png",
)


@pytest.mark.parametrize("name", REFUSED)
def test_a_list_from_elsewhere_names_only_its_own(name, folder):
    memory = fsspec.filesystem("memory")
    with memory.open("/l/list.txt", "w") as file:
        file.write(name.format(path=folder / "p" / "0.png"))
    with pytest.raises(Unreadable, match="a list from elsewhere may"):
        ImageSet.open("memory://l/list.txt").read_bytes(0)


def test_a_list_from_elsewhere_names_files_beside_it_and_its_own_protocol(photo):
    memory = fsspec.filesystem("memory")
    memory.pipe("/l/a/0.png", photo())
    memory.pipe("/l/list.csv", b"file_name\na/0.png\nmemory://l/a/0.png\n")
    images = ImageSet.open("memory://l/list.csv")
    assert [images.read_bytes(i) for i in range(2)] == [photo()] * 2


class Answers(BaseHTTPRequestHandler):
    """Whatever is asked: what the table says; a text that begins with http is a redirect."""

    table: dict = {}  # noqa: RUF012

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        data = self.table.get(self.path)
        if isinstance(data, str):
            self.send_response(302)
            self.send_header("Location", data)
            data = b""
        else:
            self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")


@pytest.fixture
def served(photo):
    pytest.importorskip("aiohttp", reason="fsspec's driver of http is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    Answers.table = {"/l/0.png": photo(), "/l/moved.png": f"{url}/l/0.png"}
    yield url
    server.shutdown()
    server.server_close()


def read_from_list(url, name):
    Answers.table["/l/list.txt"] = name.encode()
    return ImageSet.open(f"{url}/l/list.txt").read_bytes(0)


def test_addresses_of_this_machine_are_refused_in_lists_from_elsewhere(served, photo, monkeypatch):
    monkeypatch.delenv(ALLOW, raising=False)
    port = served.rpartition(":")[2]
    assert read_from_list(served, "0.png") == photo()  # relative: the host that the user named
    hosts = (
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
    )
    for host in hosts:
        reason = "chain protocols" if "::" in host else f"unless {ALLOW}=1"  # fsspec takes :: for a chain anywhere
        with pytest.raises(Unreadable, match=reason):
            read_from_list(served, f"http://{host}:{port}/l/0.png")
    with pytest.raises(Unreadable, match=f"unless {ALLOW}=1"):  # a redirect
        read_from_list(served, "moved.png")
    monkeypatch.setenv(ALLOW, "1")
    assert read_from_list(served, f"http://127.0.0.1:{port}/l/0.png") == photo()
    assert read_from_list(served, "moved.png") == photo()


@pytest.mark.parametrize("name", ["0.png", "http://elsewhere.example:{port}/l/0.png"])
@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.1", "0.0.0.0", "::ffff:127.0.0.1", "::1", "169.254.169.254", "fe80::1", "::127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"),
    ],
)
def test_a_name_that_changes_its_address_leads_nowhere(served, monkeypatch, name, address):
    port, looked_up = served.rpartition(":")[2], []
    real = socket.getaddrinfo

    def rebinding(host, *arguments, **named):
        if host not in ("elsewhere.example", b"elsewhere.example"):
            return real(host, *arguments, **named)
        looked_up.append(host)
        public = len(looked_up) == 1 and "://" in name
        if ":" in address and not public:
            return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, int(port), 0, 0))]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.5" if public else address, int(port)))]

    monkeypatch.delenv(ALLOW, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    _is_local.cache_clear()
    base = f"http://elsewhere.example:{port}/l"
    images = ImageSet(base, (name.format(port=port),), Files(base))
    with pytest.raises(Unreadable, match=f"unless {ALLOW}=1"):
        images.read_bytes(0)
    assert looked_up
    _is_local.cache_clear()


def test_the_host_that_the_user_named_may_be_this_machine(served, photo, monkeypatch):
    monkeypatch.delenv(ALLOW, raising=False)
    port = served.rpartition(":")[2]
    Answers.table["/l/list.txt"] = b"0.png"
    assert ImageSet.open(f"http://localhost:{port}/l/list.txt").read_bytes(0) == photo()


def test_what_is_no_image_is_still_told(tmp_path):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": pa.array([b"no image", None])}), buffer)
    (tmp_path / "a.parquet").write_bytes(buffer.getvalue())
    images = ImageSet.open(tmp_path / "a.parquet")
    for i in range(2):
        with pytest.raises(Unreadable):
            images.read(i)
