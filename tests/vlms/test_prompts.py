import json

import open_clip
import pytest

from zerolabel.data.classes import Classes, load_classes, prompts
from zerolabel.errors import InputError
from zerolabel.vlms.prompts import TEMPLATES, load_templates


def test_template_sets():
    assert {name: len(templates) for name, templates in TEMPLATES.items()} == {"generic": 8, "small": 27, "openai": 80}
    assert TEMPLATES["openai"] == tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)
    assert (TEMPLATES["small"][0], TEMPLATES["small"][-1]) == ("a photo of a {}", "a photo of a small {}")
    openai = {template.removesuffix(".") for template in TEMPLATES["openai"]}
    assert set(TEMPLATES["small"]) - openai == {"the photo of a {}"} - openai | set(TEMPLATES["small"]) - openai
    for templates in TEMPLATES.values():
        assert len(set(templates)) == len(templates)
        assert all(template.count("{}") == 1 for template in templates)
    assert not any(template.endswith(".") for template in TEMPLATES["small"])


def test_prompts_leave_other_braces_alone():
    assert prompts("{x} of a {}", ["cat", "{}"]) == ["{x} of a cat", "{x} of a {}"]


def test_templates_from_a_name_a_file_or_written_out(tmp_path):
    assert load_templates("small") is TEMPLATES["small"]
    assert load_templates("art of a {}") == ("art of a {}",)
    path = tmp_path / "t.txt"
    path.write_text("a {}\n\n  the {}.  \r\n", encoding="utf-8-sig")
    assert load_templates(path) == ("a {}", "the {}.")


def test_bad_templates(tmp_path):
    for text, message in {
        "": "is empty",
        "a {}\nno place\n": r"'no place' .* lacks \{\}",
        "a {}\na {}": "twice",
    }.items():
        path = tmp_path / "t.txt"
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            load_templates(path)
    with pytest.raises(InputError, match="did you mean 'small'"):
        load_templates("smal")
    path.write_bytes(b"a \xff {}")
    with pytest.raises(InputError, match="not text in UTF-8"):
        load_templates(path)


def test_classes_written_out_and_by_line(tmp_path):
    assert load_classes("cat, dog ,sea lion").names == ("cat", "dog", "sea lion")
    path = tmp_path / "names"
    path.write_text("tench, Tinca tinca\n\ngoldfish\n", encoding="utf-8-sig")
    assert load_classes(path) == Classes(("tench, Tinca tinca", "goldfish"), ((), ()))


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_aliases(tmp_path, form):
    path = tmp_path / f"classes.{form}"
    if form == "json":
        path.write_text(json.dumps({"no": ["nope", "nay", "nope", "No"], "0": "zero", "yes": None}))
    else:
        path.write_text("no: [nope, nay, nope, No]\n0: zero\nyes:\n")
    classes = load_classes(path)
    assert classes.names == ("no", "0", "yes")
    assert classes.aliases == (("nope", "nay"), ("zero",), ())
    assert classes.words == ("no", "nope", "nay", "0", "zero", "yes")
    assert classes.owners == (0, 0, 0, 1, 1, 2)
    path.write_text('["a", "b"]')
    assert load_classes(path).names == ("a", "b")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.txt", "\n", "no class"),
        ("c.txt", "cat", "only the class 'cat'"),
        ("c.txt", "cat\ndog\ncat", "twice: 'cat' and 'cat'"),
        ("c.txt", "sea_lion\nSea  Lion", "twice: 'sea_lion' and 'Sea  Lion'"),
        ("c.yaml", "cat: [pet]\ndog: [Pet]", "'Pet' to two classes, 'cat' and 'dog'"),
        ("c.yaml", "cat: [dog]\ndog:", "twice: 'cat' and 'dog'|'dog' to two classes"),
        ("c.yaml", "dog:\ncat: [dog]", "'dog' to two classes, 'dog' and 'cat'"),
        ("c.yaml", "cat:\ncat:\ndog:", "twice"),
        ("c.yaml", "cat: {a: b}\ndog:", "something other than names"),
        ("c.yaml", "cat: [", "not valid YAML"),
        ("c.yaml", "", "no class"),
        ("c.json", '{"cat": 1, "cat": 2}', "something other than names"),
        ("c.json", '{"cat": [], "cat": [], "dog": []}', "twice"),
        ("c.json", "{cat", "not valid JSON"),
        ("c.json", "3", "something other than names"),
        ("c.json", '{"a": {"b": "c"}, "d": []}', "something other than names"),
    ],
)
def test_bad_class_files(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_classes(path)
    assert "\n" not in str(caught.value)


def test_bad_class_lists():
    for spec, message in {
        "": "no class",
        "cat": "only the class",
        "cat,Cat": "twice",
        "classes.txt": "no class file",
    }.items():
        with pytest.raises(InputError, match=message):
            load_classes(spec)
