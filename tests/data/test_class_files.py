"""Class files as trainers, hubs and people write them."""

import json
import unicodedata

import pytest

from zerolabel.data.classes import Classes, load_classes, plain
from zerolabel.errors import InputError

ACCEPTED = {
    "roboflow": ("data.yaml", "train: ../train\nval: ../valid\nnc: 3\nnames: ['a b', c, '7']\n", ("a b", "c", "7")),
    "ultralytics": ("coco.yml", "path: ../d\ntrain: i\nnames:\n  0: person\n  1: car\n", ("person", "car")),
    "unordered ids": ("d.yaml", "nc: 3\nnames: {2: third, 0: first, 1: second}\n", ("first", "second", "third")),
    "names alone": ("d.yaml", "names:\n- x1\n- x2\n", ("x1", "x2")),
    "a class called names": ("d.yaml", "names: [labels]\nplaces: [spots]\n", ("names", "places")),
    "id2label": ("id2label.json", '{"1": "dog", "0": "cat"}', ("cat", "dog")),
    "config.json": ("config.json", json.dumps({"n": 3, "id2label": {"0": "cat", "1": "dog"}}), ("cat", "dog")),
    "label2id": ("m.json", json.dumps({"label2id": {"dog": 1, "cat": 0}, "x": None}), ("cat", "dog")),
    "class_to_idx": ("m.json", '{"dog": 1, "cat": 0}', ("cat", "dog")),
    "ids before names": ("classes.txt", "0 cat\r\n1 red fox\r\n", ("cat", "red fox")),
    "ids with colons": ("labels.txt", "1: dog\n0: cat\n\n", ("cat", "dog")),
    "names that begin with numbers": ("c.txt", "7 cats\n1 dog\n", ("7 cats", "1 dog")),
    "amounts": ("c.txt", "1 dollar\n2 dollars\n", ("1 dollar", "2 dollars")),
    "CSV with ids": ("c.csv", 'id,name\n1,dog\n0,"cat, small"\n', ("cat, small", "dog")),
    "CSV with semicolons": ("c.csv", "class_id;class_name\n0;cat\n1;dog\n", ("cat", "dog")),
    "CSV with a head": ("c.csv", "class_name\ncat\ndog\n", ("cat", "dog")),
    "CSV without": ("c.csv", "tench, Tinca tinca\ngoldfish\n", ("tench, Tinca tinca", "goldfish")),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_class_files_of_others(kind, tmp_path):
    name, text, expected = ACCEPTED[kind]
    (tmp_path / name).write_text(text, newline="")
    assert load_classes(tmp_path / name).names == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("d.yaml", "train: a\nval: b\nnc: 2\n", "without names of classes"),
        ("d.yaml", "nc: 3\nnames: [a1, b1]\n", "nc: 3 and has 2 names"),
        ("d.yaml", "train: x\nnames: {1: a1, 2: b1}\n", "other ids than 0 to 1"),
        ("d.yaml", "train: x\nnames: {0: a1, 0: b1}\n", "other ids than 0 to 1"),
        ("d.yaml", "train: x\nnames: all of them\n", "no list of names"),
        ("d.yaml", "train: x\nnames: [[a1], b1]\n", "no list of names"),
        ("c.csv", "id,name\n0,cat\n2,dog\n", "ids that are not 0 to 1"),
        ("c.json", "[" * 100_000, "nested too deeply"),
        ("c.yaml", "[" * 10_000, "nested too deeply"),
        ("c.json", '{"cat": 1, "dog": 2}', "something other than names"),
    ],
)
def test_class_files_that_say_too_little(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_classes(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_ids_from_one_are_told(tmp_path):
    (tmp_path / "c.txt").write_text("1 001.Albatross\n2 002.Auklet\n3 003.Cuckoo\n")
    with pytest.warns(UserWarning, match="counts its classes from 1"):
        assert load_classes(tmp_path / "c.txt").names == ("001.Albatross", "002.Auklet", "003.Cuckoo")


def test_comments_are_no_classes_and_are_told(tmp_path):
    (tmp_path / "c.txt").write_text("# animals\ncat\n#1 dog\n")
    with pytest.warns(UserWarning, match="'# animals' is taken as a comment"):
        assert load_classes(tmp_path / "c.txt").names == ("cat", "#1 dog")


def test_encodings_and_accents(tmp_path):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        (tmp_path / "c.txt").write_text(unicodedata.normalize("NFD", "größe\ncafé\n"), encoding=encoding)
        assert load_classes(tmp_path / "c.txt").names == ("größe", "café")
    with pytest.raises(InputError, match="twice"):
        Classes(("café", unicodedata.normalize("NFD", "café")))


def test_characters_that_show_nowhere_are_no_part_of_a_name(tmp_path):
    (tmp_path / "c.txt").write_text("cat\u200b\n\u200b\n\u2060dog \nsea\u00adlion\n", encoding="utf-8")
    assert load_classes(tmp_path / "c.txt").names == ("cat", "dog", "sealion")
    with pytest.raises(InputError, match="twice"):
        load_classes("cat,dog,cat\u200b")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1", "-1", False),
        ("1", "_1", False),
        ("1", "1-", False),
        ("12", "1-2", False),
        ("below -1", "below 1", False),
        ("covid-19", "covid 19", True),
        ("sea_lion", "Sea  Lion", True),
        ("a", "A", False),
        ("É", "é", False),
        ("Éa", "éa", True),
        ("c++", "c", False),
        ("cat\u200b", "cat", True),
        ("\ufeffcat", "cat", True),
        ("sea\u00adlion", "sealion", True),
        ("1\u2060", "1", True),
        ("می\u200cخواهم", "میخواهم", False),
        ("👩\u200d🚀", "👩🚀", False),
    ],
)
def test_what_makes_another_class(one, other, same):
    assert (plain(one) == plain(unicodedata.normalize("NFD", other))) is same


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.txt", '["cat", "dog"]'),
        ("c.names", '[\n  "cat",\n  "dog"\n]\n'),
        ("c.txt", '{"0": "cat", "1": "dog"}'),
        ("c.labels", '{\n "id2label": {\n  "0": "cat",\n  "1": "dog"\n }\n}'),
        ("c.txt", "- cat\n- dog\n"),
        ("c.lst", "- cat\n\n-  dog\n"),
        ("c.csv", '["cat", "dog"]'),
    ],
)
def test_what_is_json_or_a_list_is_read_as_such_whatever_its_file_is_called(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert load_classes(tmp_path / name).names == ("cat", "dog")


def test_braces_are_classes_of_characters_but_no_lines_of_a_protocol_buffer(tmp_path):
    (tmp_path / "c.txt").write_text("{\n}\n[\n]\n(\n)\n")
    assert load_classes(tmp_path / "c.txt").names == ("{", "}", "[", "]", "(", ")")
    for text in ('item {\n id: 1\n name: "cat"\n}\n', "item: {\n name: 'cat'\n}\nitem: {\n name: 'dog'\n}\n"):
        (tmp_path / "c.pbtxt").write_text(text)
        with pytest.raises(InputError, match="holds something other than names"):
            load_classes(tmp_path / "c.pbtxt")


@pytest.mark.parametrize("name", ["a\\u0000b", "\\ud800", "x\\udcff", "\\u0000", "\\ud83d"])
def test_names_that_no_file_can_hold_are_refused_before_any_work(name, tmp_path):
    (tmp_path / "c.json").write_text(f'["{name}", "dog"]')
    with pytest.raises(InputError, match="which holds characters that no file can"):
        load_classes(tmp_path / "c.json")
