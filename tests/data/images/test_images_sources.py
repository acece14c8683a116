import os
import pickle
import sys
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zerolabel.data.images import ImageSet, Unreadable, sha256, urls
from zerolabel.errors import InputError


@pytest.fixture
def remote(photo):
    """Three images and nothing else in a folder of fsspec's memory."""
    system = fsspec.filesystem("memory")
    for number, name in enumerate(("b/x.png", "a.png", "z.PNG")):
        system.pipe(f"/photos/{name}", photo(number=number))
    system.pipe("/photos/.hidden/q.png", photo())
    yield "memory://photos"
    system.rm("/photos", recursive=True)


def write(folder, *names, content=b"x"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_order_does_not_hang_on_the_file_system(tmp_path, photo, monkeypatch):
    names = ["b.png", "a/z.png", "a-b/c.png", "a.png", "e\u0301.png", "\u00e8.png", "f.png", "Z.png", "10.png", "9.png"]
    write(tmp_path, *names)
    expected = ImageSet.open(tmp_path).file_names
    assert expected == (
        *("10.png", "9.png", "Z.png", "a-b/c.png", "a.png", "a/z.png", "b.png", "f.png", "\u00e8.png", "e\u0301.png"),
    )
    walk = os.walk

    def backwards(*arguments, **options):
        for folder, folders, files in walk(*arguments, **options):
            folders.sort(reverse=True)
            yield folder, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert ImageSet.open(tmp_path).file_names == expected


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_followed_once_and_loops_end(tmp_path, photo):
    write(tmp_path / "root", "a/x.png", content=photo())
    write(tmp_path / "elsewhere", "y.png", "deep/w.png", content=photo(number=1))
    root = tmp_path / "root"
    (root / "a" / "up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "inside").symlink_to(root / "a")
    (root / "m").symlink_to(tmp_path / "elsewhere")
    (root / "n").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    (root / "to.png").symlink_to(tmp_path / "elsewhere" / "y.png")
    (root / "gone.png").symlink_to(tmp_path / "nowhere")
    (root / "ring.png").symlink_to(root / "ring.png")
    images = ImageSet.open(root)
    assert images.file_names == ("a/x.png", "gone.png", "m/deep/w.png", "m/y.png", "ring.png", "to.png")
    assert images.read_bytes(5) == images.read_bytes(3) == photo(number=1)
    for place, reason in ((1, "no such file"), (4, "symbolic links")):
        with pytest.raises(Unreadable, match=reason):
            images.read(place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_pipes_devices_and_folders_are_no_images(tmp_path, photo, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dev.png").symlink_to("/dev/zero")
    write(tmp_path, "folder.jpg/in.png", content=photo())
    write(tmp_path, "big.png", content=photo())
    images = ImageSet.open(tmp_path)
    assert images.file_names == ("big.png", "dev.png", "folder.jpg/in.png", "pipe.png")
    assert images.read(2).size == (64, 48)
    for place in (1, 3):
        with pytest.raises(Unreadable, match=r"no regular file|not a regular file"):
            images.read(place)
    (tmp_path / "list.txt").write_text("big.png\nfolder.jpg")
    with pytest.raises(Unreadable, match="is a folder"):
        ImageSet.open(tmp_path / "list.txt").read(1)
    monkeypatch.setattr(urls, "MOST_BYTES", 100)
    with pytest.raises(Unreadable, match="larger than"):
        images.read(0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names as Unicode")
def test_names_that_are_no_utf8(tmp_path, photo):
    Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png")).write_bytes(photo())
    images = ImageSet.open(tmp_path)
    assert images.file_names == ("caf\\udce9.png",)
    assert images.file_names[0].encode() and images.read(0).size == (64, 48)
    assert images.path(0).is_file()
    (tmp_path / "list.txt").write_text(images.file_names[0])
    assert ImageSet.open(tmp_path / "list.txt").read_bytes(0) == photo()


@pytest.mark.parametrize("base", ["", "sub"])
@pytest.mark.parametrize("name", ["ab::c.png", "zip::x.png", "simplecache::file:/x.png", "http:/x.png", "data::.png"])
def test_names_that_look_like_urls_are_files_where_there_are_such(name, base, tmp_path, photo, monkeypatch):
    place = tmp_path / base / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(photo())
    monkeypatch.chdir(tmp_path)
    for source in (base or ".", tmp_path / base):
        images = ImageSet.open(source)
        assert images.file_names == (name,) and images.read_bytes(0) == photo()
    (tmp_path / base / "list.txt").write_text(name)
    assert ImageSet.open(Path(base) / "list.txt").read_bytes(0) == photo()


def test_a_folder_that_may_not_be_read_is_told(tmp_path, photo, monkeypatch):
    write(tmp_path, "a.png", "shut/b.png", content=photo())
    scan = os.scandir

    def refuse(path):
        if os.path.basename(path) == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(UserWarning, match=r"the folder .*shut is left out: permission denied"):
        assert ImageSet.open(tmp_path).file_names == ("a.png",)


def test_a_folder_at_a_url(remote, photo):
    images = pickle.loads(pickle.dumps(ImageSet.open(remote)))
    assert (images.root, images.file_names) == (remote, ("a.png", "b/x.png", "z.PNG"))
    assert images.read_bytes(1) == photo(number=0)
    assert images.place(1) == "memory://photos/b/x.png"
    with pytest.raises(InputError, match="no image in the folder memory://empty"):
        ImageSet.open("memory://empty")


def test_lists_at_a_url_and_urls_in_lists(remote, photo, tmp_path):
    (tmp_path / "here.png").write_bytes(photo(number=7))
    listed = ["a.png", f"{remote}/b/x.png", f"file://{tmp_path}/here.png", "/etc/passwd", "gone.png"]
    with fsspec.open("memory://photos/list.csv", "w") as file:
        pd.DataFrame({"note": "x", "file_name": listed}).to_csv(file, index=False)
    images = ImageSet.open("memory://photos/list.csv")
    assert images.file_names == tuple(listed)
    assert [images.read_bytes(i) for i in (0, 1)] == [photo(number=1), photo(number=0)]
    for place, reason in ((2, "may not name files"), (3, "may not name files"), (4, "no such file")):
        with pytest.raises(Unreadable, match=reason):
            images.read(place)
    for name, text in {"a.txt": "\n".join(listed[:3]), "b.csv": f"{remote}/a.png\n{listed[2]}\n"}.items():
        (tmp_path / name).write_text(text)
    assert ImageSet.open(tmp_path / "a.txt").read_bytes(2) == photo(number=7)
    assert len(ImageSet.open(tmp_path / "b.csv")) == 2
    with pytest.raises(InputError, match=r"folder or list of images memory://photos/no\.csv"):
        ImageSet.open("memory://photos/no.csv")


@pytest.mark.parametrize(
    "url", ["reference://", "reference://a/b", "zip://a.png::memory://no.zip", "dir://x", "git://x"]
)
def test_what_a_driver_lacks_is_a_sentence(url):
    with pytest.raises(InputError) as caught:
        ImageSet.open(url)
    assert "\n" not in str(caught.value)


def test_unknown_protocols_and_missing_drivers_say_so(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"nowhere://x/list.txt cannot be read .*nowhere"):
        ImageSet.open("nowhere://x/list.txt")
    (tmp_path / "a.txt").write_text("zzz://b/x.png")
    with pytest.raises(Unreadable, match="zzz"):
        ImageSet.open(tmp_path / "a.txt").read(0)
    from fsspec.registry import known_implementations

    monkeypatch.setitem(known_implementations, "qqq", {"class": "missing_driver.System", "err": "Install qqqfs"})
    with pytest.raises(InputError, match="without its driver: Install qqqfs"):
        ImageSet.open("qqq://bucket/photos")


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_arrays(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 5, 7, *channels), dtype=np.uint8)
    if channels == (4,):
        pixels[..., 3] = 255
    images = pickle.loads(pickle.dumps(ImageSet.from_arrays(pixels)))
    assert images.file_names[::11] == ("00", "11")
    got = np.asarray(images.select([10, 3]).read(0))
    wanted = pixels[10] if channels and channels[0] >= 3 else np.repeat(pixels[10].reshape(5, 7, 1), 3, 2)
    assert np.array_equal(got, wanted[..., :3])
    assert sha256(images.read_bytes(2)) == sha256(ImageSet.from_arrays(pixels[2:3]).read_bytes(0))
    assert images.place(3) == "arrays/03"


def test_arrays_of_another_kind_are_refused():
    for wrong in (np.zeros((2, 4, 4)), np.zeros((4, 4), np.uint8), np.zeros((2, 4, 4, 2), np.uint8)):
        with pytest.raises(InputError, match="an array of images is uint8"):
            ImageSet.from_arrays(wrong)
    with pytest.raises(InputError, match="1 different names were given for 2 images"):
        ImageSet.from_arrays(np.zeros((2, 4, 4), np.uint8), ["a", "a"])


def structures(photo, count, first=0, **more):
    rows = [{"bytes": photo(number=first + i), "path": f"{first + i}.png"} for i in range(count)]
    return pa.table({"label": list(range(count)), "image": rows, **more})


def test_parquet_files_with_images(photo, tmp_path):
    pq.write_table(structures(photo, 10), tmp_path / "train-00000-of-00002.parquet", row_group_size=3)
    pq.write_table(structures(photo, 4, 20), tmp_path / "train-00001-of-00002.parquet")
    plain = pa.table({"jpg": pa.array([photo(number=40), None, photo(number=40)], pa.binary())})
    pq.write_table(plain, tmp_path / "test.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    one = ImageSet.open(tmp_path / "train-00000-of-00002.parquet")
    assert one.file_names[9] == "train-00000-of-00002.parquet/9.png"
    assert [one.read_bytes(i) for i in (9, 0, 5)] == [photo(number=i) for i in (9, 0, 5)]
    images = pickle.loads(pickle.dumps(ImageSet.open(f"hf:{tmp_path}:train")))
    assert images.file_names == (
        *one.file_names,
        *(f"train-00001-of-00002.parquet/{20 + i}.png" for i in range(4)),
    )
    assert images.select([12, 2]).read_bytes(0) == photo(number=22)
    everything = ImageSet.open(tmp_path)
    assert len(everything) == 17 and everything.file_names[:2] == ("test.parquet/0", "test.parquet/1")
    with pytest.raises(Unreadable, match="holds no image"):
        everything.read(1)
    with pytest.raises(InputError, match="no image in the data set"):
        ImageSet.open(f"hf:{tmp_path}:validation")


def test_parquet_rows_with_paths_alone_stay_inside_the_data_set(photo, tmp_path):
    (tmp_path / "in.png").write_bytes(photo())
    paths = ["in.png", "../out.png", "/etc/passwd", "file:///etc/passwd", "none.png"]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = pa.array([{"bytes": None, "path": path} for path in paths], kind)
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet")
    images = ImageSet.open(tmp_path / "a.parquet")
    assert images.read(0).size == (64, 48)
    for place, reason in ((1, "leads out"), (2, "leads out"), (3, "leads out"), (4, "no such file")):
        with pytest.raises(Unreadable, match=reason):
            images.read(place)


def test_a_damaged_parquet_page_costs_its_rows(photo, tmp_path):
    pq.write_table(structures(photo, 6), tmp_path / "a.parquet", row_group_size=2, compression="zstd")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    spot = content.index(photo(number=2)[:64]) if photo(number=2)[:64] in content else len(content) // 2
    content[spot : spot + 2000] = b"\xff" * 2000
    (tmp_path / "a.parquet").write_bytes(bytes(content))
    read, refused = 0, 0
    images = ImageSet.open(tmp_path / "a.parquet")
    for i in range(6):
        try:
            images.read(i)
            read += 1
        except Unreadable:
            refused += 1
    assert refused >= 1 and read >= 2


def test_hugging_face_folders(photo, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    rows = {"image": [photo(number=i) for i in range(3)], "label": [0, 1, 0]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    whole = datasets.Dataset.from_dict(rows, features=features)
    whole.select([2, 0]).save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": whole, "test": whole.select([1])}).save_to_disk(tmp_path / "both")
    whole.to_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet")
    write(tmp_path / "folder", "train/x/a.png", "test/x/b.png", content=photo())

    one = pickle.loads(pickle.dumps(ImageSet.open(f"hf:{tmp_path}/one")))
    assert [one.read_bytes(i) for i in range(2)] == [photo(number=2), photo(number=0)]
    test = ImageSet.open(f"hf:{tmp_path}/both:test")
    assert test.file_names == ("test/0",) and test.read_bytes(0) == photo(number=1)
    assert ImageSet.open(f"hf:{tmp_path}/hub").select([1]).read_bytes(0) == photo(number=1)
    assert ImageSet.open(f"hf:{tmp_path}/folder:test").file_names == ("x/b.png",)
    assert ImageSet.open(f"hf:{tmp_path}/folder").file_names == ("test/x/b.png", "train/x/a.png")
    with pytest.raises(InputError, match="has the splits train, test; add one"):
        ImageSet.open(f"hf:{tmp_path}/both")
    with pytest.raises(InputError, match="no folder of a data set"):
        ImageSet.open(f"hf:{tmp_path}/nowhere")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="hf:somebody/something cannot be loaded"):
        ImageSet.open("hf:somebody/something:train")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"zerolabel-vision\[datasets\]"):
        ImageSet.open("hf:somebody/something")
