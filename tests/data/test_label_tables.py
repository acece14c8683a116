"""Label files as people and tools write them: what means a class, what means none, and what is refused."""

import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zerolabel.data.classes import Classes
from zerolabel.data.label_files import Labels
from zerolabel.errors import InputError

IMAGES = ("a.png", "b.png", "sub/c.png", unicodedata.normalize("NFD", "größe é.png"))
DIGITS = Classes(("zero", "one", "two"))


def matched(path, classes=DIGITS, images=IMAGES, **options):
    return Labels.read(path, classes).match(images, [""] * len(images), **options).tolist()


def one_label(tmp_path, label, classes=DIGITS):
    path = tmp_path / "l.csv"
    path.write_text(f'file_name,label\na.png,"{label}"\n', encoding="utf-8")
    return matched(path, classes)[0]


@pytest.mark.parametrize("label", ["-1", "", "NaN", "nan", "NAN", "null", "NULL", "None", "none", "  -1  "])
def test_words_for_no_label(label, tmp_path):
    assert one_label(tmp_path, label) == -1


@pytest.mark.parametrize(
    "label", ["_1", "1-", "- 2", "-2", "+1", "01", "1.0", "1e0", "3", "\u0661", "\uff11", "0x1", "-", "--1", "\u22121"]
)
def test_what_is_neither_a_name_nor_an_id_is_refused(label, tmp_path):
    with pytest.raises(InputError, match="unknown class"):
        one_label(tmp_path, label)


@pytest.mark.parametrize(
    ("names", "label", "expected"),
    [
        (("zero", "one"), "1", 1),
        (("zero", "one"), "One", 1),
        (("1", "0"), "1", 0),
        (("-1", "1"), "-1", 0),
        (("-1", "1"), "1", 1),
        (("1", "2"), "-1", -1),
        (("none", "some"), "None", 0),
        (("nan", "bread"), "NaN", 0),
        (("007", "008"), "007", 0),
        (("1.5", "2.5"), "2.5", 1),
        (("café", "bar"), unicodedata.normalize("NFD", "CAFÉ"), 0),
        ((unicodedata.normalize("NFD", "größe"), "x1"), "Größe", 0),
        (("cat", "dog"), "dog\u200b", 1),
        (("cat\u00ad", "dog"), "cat", 0),
    ],
)
def test_a_name_wins_over_an_id(names, label, expected, tmp_path):
    assert one_label(tmp_path, label, Classes(names)) == expected


@pytest.mark.parametrize(
    ("names", "label"), [(("1", "2"), "0"), (("-1", "x"), "1"), (("1", "2"), "_1"), (("10", "20"), "1")]
)
def test_ids_beside_names_that_are_numbers_are_refused(names, label, tmp_path):
    with pytest.raises(InputError, match="unknown class"):
        one_label(tmp_path, label, Classes(names))


def test_an_alias_that_is_a_number_rules_ids_out(tmp_path):
    classes = Classes(("one", "two"), (("1",), ("2",)))
    assert one_label(tmp_path, "1", classes) == 0
    with pytest.raises(InputError, match="unknown class '0'"):
        one_label(tmp_path, "0", classes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "path,class\na.png,one\nsub/c.png,two\n"),
        ("l.csv", "label,image\none,a.png\ntwo,sub/c.png\n"),
        ("l.csv", 'File Name;Label\r\na.png;"one"\r\nsub/c.png;two\r\n'),
        ("l.csv", "filename\tlabel\na.png\tone\nsub/c.png\ttwo\n"),
        ("l.tsv", "file,label,note\na.png,one,\nsub/c.png,two,x\n"),
        ("l.csv", "a.png,one\nsub/c.png,two\n"),
        ("l.csv", "one;./a.png\ntwo;sub\\c.png\n"),
        ("l.csv", "sep=;\r\nfile;label\r\na.png;one\r\nsub/c.png;two\r\n"),
        ("l.csv", '"sep=\t"\na.png\tone\nsub/c.png\ttwo\n'),
        ("l.psv", "image|label\na.png|one\nsub/c.png|two\n"),
        ("l.csv", "gone.png,zero\na.png,one\nsub/c.png,two\n"),
        ("l.txt", "a.png 1\nsub/c.png 2\n"),
        ("l.csv", 'id,note,file_name,label\n1,"x\ny",a.png,one\n2,,c.png,two\n\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_heads_separators_and_encodings(name, text, encoding, tmp_path):
    (tmp_path / name).write_text(text, encoding=encoding, newline="")
    assert matched(tmp_path / name, skipped=["gone.png"]) == [1, -1, 2, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,label\na,b.png,one\n", "row 2 has 3 cells"),
        ('file_name,label\n"a.png,one\nb.png,two\n', "unexpected end"),
        ("file_name,label,label\na.png,one,two\n", "two columns are called label"),
        ("file_name,klass\na.png,one\n", "no column label but file_name, klass"),
        ("one,two\nthree,four\n", "no column file_name but one, two"),
        ("\n\n", "cannot be read"),
        (f"file_name,label\n{'x' * 300_000},one\n", "cannot be read"),
        ("file_name,label\na\0.png,one\n", "not among the images|cannot be read"),
        (f"file_name,label\n{'y' * 5_000}.png,one\n", "not among the images"),
    ],
)
def test_tables_that_are_refused(text, message, tmp_path):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        matched(tmp_path / "l.csv")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([1, None], pa.int64()),
        pa.array([1.0, np.nan], pa.float64()),
        pa.array(["one", None]),
        pa.array(["one", ""], pa.large_string()),
        pa.array(["one", "None"]).dictionary_encode(),
        pa.array([b"one", b"-1"]),
        pa.array([1, -1], pa.int8()),
    ],
    ids=str,
)
def test_labels_in_parquet(labels, tmp_path):
    if pa.types.is_binary(labels.type):
        labels = labels.cast(pa.string())
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": labels}), tmp_path / "l.parquet")
    assert matched(tmp_path / "l.parquet") == [1, -1, -1, -1]
    structures = pa.array([{"bytes": b"x", "path": name} for name in ("a.png", "b.png")])
    pq.write_table(pa.table({"image": structures, "label": labels}), tmp_path / "l.parquet")
    assert matched(tmp_path / "l.parquet") == [1, -1, -1, -1]


def test_accents_of_names_match_unless_two_files_differ_by_them_alone(tmp_path):
    composed, apart = unicodedata.normalize("NFC", "größe é.png"), unicodedata.normalize("NFD", "größe é.png")
    for name in (composed, apart, f"other/{composed}"):
        pd.DataFrame({"file_name": [name], "label": ["one"]}).to_csv(tmp_path / "l.csv", index=False)
        assert matched(tmp_path / "l.csv") == [-1, -1, -1, 1]
    assert matched(tmp_path / "l.csv", images=("a.png",), skipped=[apart]) == [-1]
    pd.DataFrame({"file_name": [composed], "label": ["one"]}).to_csv(tmp_path / "l.csv", index=False)
    assert matched(tmp_path / "l.csv", images=(composed, apart)) == [1, -1]
    assert matched(tmp_path / "l.csv", images=(apart, composed)) == [-1, 1]


def test_rows_of_other_images_are_counted_where_a_subset_is_allowed(tmp_path):
    (tmp_path / "l.csv").write_text("file_name,label\na.png,one\nx.png,two\ny.png,two\n")
    with pytest.raises(InputError, match=r"2 of 3 files that are not among the images, first x\.png"):
        matched(tmp_path / "l.csv")
    with pytest.warns(UserWarning, match="names 2 of 3 files .* first x.png; they are left out"):
        assert matched(tmp_path / "l.csv", subset=True) == [1, -1, -1, -1]
