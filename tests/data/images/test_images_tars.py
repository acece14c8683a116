import io
import pickle
import tarfile

import fsspec
import numpy as np
import pytest

from zerolabel.data.images import ImageSet, Unreadable
from zerolabel.errors import InputError


def tar(path, members, **options):
    """Write members: name -> content, or a ready TarInfo."""
    with tarfile.open(path, "w", **options) as file:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_samples_give_one_image_each_in_the_order_of_the_tar(photo, tmp_path):
    path = tar(
        tmp_path / "a.tar",
        {
            "b/2.seg.png": photo(number=1),
            "b/2.jpg": photo("JPEG"),
            "b/2.cls": b"3",
            "1.json": b"{}",
            "1.png": photo(number=2),
            "1.webp": photo("WEBP"),
            "pair.left.png": photo(number=3),
            "pair.right.png": photo(number=4),
            "._1.png": b"\0\5\26\7",
        },
    )
    with pytest.warns(UserWarning, match=r"2 images are left out .* first b/2.seg.png"):
        images = ImageSet.open(path)
    assert images.file_names == ("a.tar/b/2.jpg", "a.tar/1.png", "a.tar/pair.left.png", "a.tar/pair.right.png")
    assert images.read_bytes(1) == photo(number=2)
    chosen = pickle.loads(pickle.dumps(images.select([3, 0])))
    assert [chosen.read_bytes(i) for i in range(2)] == [photo(number=4), photo("JPEG")]
    assert images.named(["a.tar/1.png"]).read_bytes(0) == photo(number=2)
    with pytest.raises(InputError, match=r"1 of 2 images are not in .*, first x"):
        images.named(["a.tar/1.png", "x"])
    with pytest.raises(InputError, match="is not a file of this machine"):
        images.path(0)


def test_patterns_and_folders_of_tars(photo, tmp_path):
    for number in range(11):
        tar(tmp_path / f"s-{number:03}.tar", {"x.png": photo(number=number)})
    counted = ImageSet.open(f"{tmp_path}/s-{{000..010}}.tar")
    assert counted.file_names == tuple(f"s-{number:03}.tar/x.png" for number in range(11))
    assert counted.read_bytes(10) == photo(number=10)
    assert ImageSet.open(tmp_path).file_names == counted.file_names
    assert ImageSet.open(f"{tmp_path}/s-{{004,001}}.tar").file_names == ("s-004.tar/x.png", "s-001.tar/x.png")
    with pytest.raises(InputError, match=r"there is no tar .*s-011\.tar"):
        ImageSet.open(f"{tmp_path}/s-{{000..011}}.tar")
    with pytest.raises(InputError, match="counts down from 3 to 1"):
        ImageSet.open(f"{tmp_path}/s-{{3..1}}.tar")


def test_tars_beside_images_are_told(photo, tmp_path):
    tar(tmp_path / "a.tar", {"x.png": photo()})
    (tmp_path / "y.png").write_bytes(photo())
    with pytest.warns(UserWarning, match="holds images and 1 tars"):
        assert ImageSet.open(tmp_path).file_names == ("y.png",)


def test_members_that_lead_out_and_links_are_refused_with_the_reason(photo, tmp_path):
    path = tar(
        tmp_path / "evil.tar",
        {
            "../up.png": photo(),
            "/etc/abs.png": photo(),
            "a/../../b.png": photo(),
            "C:\\x.png": photo(),
            "good.png": photo(number=5),
            "soft.png": special("soft.png", tarfile.SYMTYPE, "/etc/passwd"),
            "hard.png": special("hard.png", tarfile.LNKTYPE, "good.png"),
            "pipe.png": special("pipe.png", tarfile.FIFOTYPE),
            "folder.png": special("folder.png", tarfile.DIRTYPE),
            "empty.png": b"",
        },
    )
    images, reasons = ImageSet.open(path), {}
    for i, name in enumerate(images.file_names):
        try:
            images.read(i)
        except Unreadable as error:
            reasons[name.removeprefix("evil.tar/")] = str(error)
    out = "its path leads out of the tar, refused"
    assert reasons == {
        **dict.fromkeys(("../up.png", "/etc/abs.png", "a/../../b.png", "C:\\x.png"), out),
        "soft.png": "a link inside a tar, refused",
        "hard.png": "a link inside a tar, refused",
        "pipe.png": "no regular file, refused",
        "empty.png": "the file is empty",
    }
    assert len(images) == 9


def test_a_damaged_tar_gives_what_comes_before_the_damage(photo, tmp_path):
    members = {f"{i}.png": photo(number=i) for i in range(6)}
    path = tar(tmp_path / "a.tar", members)
    whole, spans = path.read_bytes(), ImageSet.open(path).store.spans
    tar(tmp_path / "b.tar", {"z.png": photo(number=9)})

    def names_and_last(content):
        path.write_bytes(content)
        images = ImageSet.open(tmp_path)
        assert images.file_names[-1] == "b.tar/z.png" and images.read_bytes(len(images) - 1) == photo(number=9)
        with pytest.raises(Unreadable) as caught:
            images.read(len(images) - 2)
        return images.file_names[:-1], str(caught.value)

    cut = whole[: spans[3][0] + 100]
    names, reason = names_and_last(cut)
    assert names[:3] == ("a.tar/0.png", "a.tar/1.png", "a.tar/2.png") and "tar" in reason
    broken = bytearray(whole)
    broken[spans[3][0] - 400 : spans[3][0] - 380] = b"x" * 20
    names, reason = names_and_last(bytes(broken))
    assert names == ("a.tar/0.png", "a.tar/1.png", "a.tar/2.png", "a.tar") and "damaged after" in reason
    names, reason = names_and_last(b"no tar at all" * 100)
    assert names == ("a.tar",) and "damaged after 0 bytes" in reason
    (tmp_path / "b.tar").unlink()
    with pytest.raises(InputError, match=r"no image in .*a\.tar \(the tar is damaged"):
        ImageSet.open(path)


def test_headers_that_would_never_end_are_refused(photo, tmp_path):
    path = tar(tmp_path / "a.tar", {"a.png": photo(), "b.png": photo(number=1)})
    content = bytearray(path.read_bytes())
    start = int(ImageSet.open(path).store.spans[1][0]) - 512
    content[start + 124 : start + 136] = b"\xff" * 10 + b"\xfc\x00"  # a size below zero, in base 256
    content[start + 148 : start + 156] = b" " * 8
    content[start + 148 : start + 156] = f"{sum(content[start : start + 512]):06o}\0 ".encode()
    path.write_bytes(bytes(content))
    images = ImageSet.open(path)
    assert images.file_names == ("a.tar/a.png", "a.tar")
    with pytest.raises(Unreadable, match="damaged"):
        images.read_bytes(1)


def test_names_that_are_no_utf8(photo, tmp_path):
    path = tar(tmp_path / "a.tar", {"caf\udce9.png": photo()}, encoding="utf-8", errors="surrogateescape")
    images = ImageSet.open(path)
    assert images.file_names == ("a.tar/caf\\udce9.png",)
    assert images.read(0).size == (64, 48)


def test_compressed_tars_say_what_to_do(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz"):
        pass
    with pytest.raises(InputError, match=r"a.tar.gz is compressed"):
        ImageSet.open(tmp_path / "a.tar.gz")


def test_tars_at_a_url(photo, tmp_path):
    for number in range(2):
        path = tar(tmp_path / f"{number}.tar", {f"x{i}.png": photo(number=10 * number + i) for i in range(3)})
        with fsspec.open(f"memory://tars/{number}.tar", "wb") as file:
            file.write(path.read_bytes())
    images = ImageSet.open("memory://tars/{0..1}.tar")
    assert images.file_names == tuple(f"{t}.tar/x{i}.png" for t in range(2) for i in range(3))
    assert images.read_bytes(4) == photo(number=11)
    assert ImageSet.open("memory://tars").file_names == images.file_names


def test_every_damage_to_a_tar_is_told_or_harmless(photo, tmp_path):
    whole = np.frombuffer(
        tar(tmp_path / "a.tar", {f"{i}.png": photo(number=i) for i in range(3)}).read_bytes(), np.uint8
    )
    random, kept = np.random.default_rng(0), 0
    headers = np.flatnonzero((whole[:-5] == ord("u")) & (whole[1:-4] == ord("s")) & (whole[2:-3] == ord("t"))) - 257
    for _ in range(300):
        broken = whole.copy()
        for header in random.choice(headers, 2):
            broken[header + random.integers(0, 512, 3)] = random.integers(0, 256, 3)
        if random.random() < 0.5:  # a checksum that is right again lets the damage through
            for header in headers:
                broken[header + 148 : header + 156] = 32
                total = f"{int(broken[header : header + 512].sum()):06o}\0 ".encode()
                broken[header + 148 : header + 156] = np.frombuffer(total, np.uint8)
        (tmp_path / "a.tar").write_bytes(broken[: random.integers(1, len(broken) + 1)].tobytes())
        try:
            images = ImageSet.open(tmp_path / "a.tar")
        except InputError as error:
            assert "\n" not in str(error)
            continue
        for i in range(len(images)):
            try:
                images.read(i)
                kept += 1
            except Unreadable as error:
                assert str(error)
    assert kept > 50
