import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zerolabel.data.classes import Classes
from zerolabel.data.images import sha256
from zerolabel.data.label_files import Labels
from zerolabel.errors import InputError


@pytest.fixture
def pictures(tmp_path):
    """Images a/1.png, a/2.png, b/1.png, c.png under images/, and their hashes."""
    random = np.random.default_rng(0)
    names, hashes = ("a/1.png", "a/2.png", "b/1.png", "c.png"), []
    for name in names:
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8)).save(file)
        hashes.append(sha256(file.read_bytes()))
    return tmp_path, names, tuple(hashes)


def read(pictures, path, classes=("cat", "dog"), aliases=(), skipped=()):
    _, names, hashes = pictures
    return Labels.read(path, Classes(classes, aliases)).match(names, hashes, skipped).tolist()


def written(pictures, text, name="truth.csv"):
    path = pictures[0] / name
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_truth_by_name_base_name_and_alias(pictures):
    path = written(pictures, "file_name,label\n./a/1.png,cat\nb\\1.png, Dog \nelsewhere/2.png,gray_hound\nc.png,\n")
    assert read(pictures, path, aliases=((), ("gray hound",))) == [0, 1, 1, -1]


def test_an_ambiguous_base_name_is_unknown(pictures):
    with pytest.raises(InputError, match=r"1 of 1 files that are not among the images, first 1.png"):
        read(pictures, written(pictures, "file_name,label\n1.png,cat\n"))


def test_unknown_files_are_counted_and_skipped_ones_are_not(pictures):
    path = written(pictures, "file_name,label\na/1.png,cat\nbroken.png,dog\nlost.png,dog\n")
    with pytest.raises(InputError, match=r"2 of 3 files.*first broken.png"):
        read(pictures, path)
    with pytest.raises(InputError, match=r"1 of 3 files.*first lost.png"):
        read(pictures, path, skipped=["broken.png"])
    assert read(pictures, path, skipped=["broken.png", "deep/lost.png"]) == [0, -1, -1, -1]


def test_unknown_classes_name_the_nearest(pictures):
    with pytest.raises(InputError, match=r"'kat'.*did you mean 'cat'"):
        read(pictures, written(pictures, "file_name,label\nc.png,kat\n"))


def test_two_labels_for_one_image(pictures):
    with pytest.raises(InputError, match=r"c.png two labels, 'cat' and 'dog'"):
        read(pictures, written(pictures, "file_name,label\nc.png,cat\nc.png,dog\n"))


def test_class_ids_unless_names_are_numbers(pictures):
    path = written(pictures, "file_name,label\na/1.png,0\nc.png,1\n")
    assert read(pictures, path) == [0, -1, -1, 1]
    assert read(pictures, path, classes=("1", "0")) == [1, -1, -1, 0]
    with pytest.raises(InputError, match="unknown class '0'"):
        read(pictures, path, classes=("1", "2"))


def test_names_that_pandas_takes_for_missing(pictures):
    path = written(pictures, "file_name,label\na/1.png,none\nc.png,NA\n")
    assert read(pictures, path, classes=("NA", "none")) == [1, -1, -1, 0]


def test_parquet_with_numbers_and_gaps(pictures):
    path = pictures[0] / "truth.parquet"
    pd.DataFrame({"file_name": ["a/1.png", "a/2.png", "c.png"], "label": [1.0, None, 0.0]}).to_parquet(path)
    assert read(pictures, path) == [1, -1, -1, 0]


def test_a_folder_per_class_matches_by_content(pictures):
    root, names, _ = pictures
    for name, label in zip(names, ("cat", "dog", "dog", "cat"), strict=True):
        target = root / "truth" / label / f"copy of {name.replace('/', ' ')}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((root / "images" / name).read_bytes())
    assert read(pictures, root / "truth") == [0, 1, 1, 0]


def test_the_image_folder_itself_can_be_the_truth(pictures):
    assert read(pictures, pictures[0] / "images", classes=("a", "b")) == [0, 0, 1, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\nc.png,cat\n", "no column file_name but name, label"),
        ("file_name\nc.png\n", "no column label"),
        ("", "cannot be read"),
    ],
)
def test_a_table_of_another_shape(pictures, text, message):
    with pytest.raises(InputError, match=message):
        read(pictures, written(pictures, text))


def test_no_such_truth_and_no_class_folders(pictures, tmp_path):
    with pytest.raises(InputError, match=r"there are no labels .*lost.csv"):
        read(pictures, tmp_path / "lost.csv")
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (3, 3)).save(flat / "x.png")
    with pytest.raises(InputError, match="no folder of images per class"):
        read(pictures, flat)
