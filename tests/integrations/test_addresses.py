"""Addresses under which labeling tools find images, and the controls of Label Studio."""

import json

import pytest
import torch

from zerolabel.errors import InputError
from zerolabel.integrations.addresses import located
from zerolabel.integrations.convert import import_labels

IMAGES = ("0.png", "a/1.png", "b/1.png", "my photo.png", "sub/größe (2).png")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("0.png", "0.png"),
        ("/data/upload/7/1a2b3c4d-0.png", "0.png"),
        ("/data/upload/7/0f9e8d7c-my_photo.png", "my photo.png"),
        ("http://host:8080/data/upload/1/0f9e8d7c-größe_2.png", "sub/größe (2).png"),
        ("/data/local-files/?d=pics/a/1.png", "a/1.png"),
        ("/data/local-files/?d=pics%2Fb%2F1.png", "b/1.png"),
        ("/data/local-files/?d=pics/my%20photo.png", "my photo.png"),
        ("D:\\pics\\b\\1.png", "b/1.png"),
        ("s3://bucket/deep/a/1.png", "a/1.png"),
        ("https://host/x/my%20photo.png?token=1", "my photo.png"),
        ("file:///home/x/0.png", "0.png"),
        ("gro\u0308ße.png", "gro\u0308ße.png"),
        ("/data/upload/7/1a2b3c4d-1.png", "/data/upload/7/1a2b3c4d-1.png"),
        ("/data/upload/7/zzzzzzzz-0.png", "/data/upload/7/zzzzzzzz-0.png"),
        ("pics/c/1.png", "pics/c/1.png"),
        ("10.png", "10.png"),
    ],
)
def test_addresses(address, expected):
    assert located([address], IMAGES) == [expected]


def test_a_base_name_that_several_have_needs_the_usual_folder():
    images = ("1.png", "2.png", "a/1.png")
    assert located(["pics/2.png", "pics/1.png"], images) == ["2.png", "1.png"]
    assert located(["pics/2.png", "pics/c/1.png"], images) == ["2.png", "pics/c/1.png"]
    assert located(["pics/a/1.png", "pics/1.png"], images) == ["a/1.png", "1.png"]


def task(name, *answers):
    given = [
        {
            "completed_by": person,
            "result": [
                {"from_name": control, "to_name": "image", "type": "choices", "value": {"choices": chosen}}
                for control, chosen in controls.items()
            ],
        }
        for person, controls in answers
    ]
    return {"data": {"image": name}, "annotations": given}


READ = {
    "another control": ([task("0.png", (1, {"choice": ["class 1"]}))], 1),
    "a second control": ([task("0.png", (1, {"label": ["class 2"], "quality": ["good"]}))], 2),
    "a second control before": ([task("0.png", (1, {"quality": ["good"], "kind": ["class 2"]}))], 2),
    "label is about quality": ([task("0.png", (1, {"label": ["good"], "kind": ["class 3"]}))], 3),
    "minimal": ([{"image": "0.png", "choice": "class 1", "annotator": 1, "id": 1}], 1),
    "minimal with two": ([{"image": "0.png", "choice": "class 1", "quality": "bad", "annotator": 1}], 1),
    "minimal, a structure": ([{"image": "0.png", "kind": {"choices": ["class 3"]}, "annotator": 1}], 3),
    "minimal, an address": ([{"pic": "/data/upload/1/1a2b3c4d-0.png", "label": "class 1"}], 1),
    "minimal, people disagree": (
        [{"image": "0.png", "label": f"class {c}", "annotator": c, "id": 1} for c in (1, 2)],
        -1,
    ),
    "minimal, the last answer of a person": (
        [{"image": "0.png", "label": f"class {c}", "annotator": 1, "updated_at": f"2026-0{c}"} for c in (2, 1)],
        2,
    ),
    "a bare list": ([{"image": "0.png", "label": ["class 1"]}], 1),
}


@pytest.fixture
def annotations(make_annotations):
    from dataclasses import replace

    made = make_annotations(torch.zeros(2, 1, dtype=torch.long), 4)
    return replace(made, file_names=("0.png", "a/1.png"), classes=tuple(f"class {c}" for c in range(4)))


@pytest.mark.filterwarnings("ignore:.*people who disagree:UserWarning")
@pytest.mark.parametrize("kind", READ)
def test_controls_of_label_studio(kind, annotations, tmp_path):
    exported, expected = READ[kind]
    (tmp_path / "x.json").write_text(json.dumps(exported))
    assert import_labels(annotations, "label-studio", tmp_path / "x.json").labels.tolist() == [expected, -1]


@pytest.mark.parametrize(
    ("exported", "message"),
    [
        ([task("0.png", (1, {"quality": ["good"]}))], "no control with names of the classes, but quality"),
        ([task("0.png", (1, {"x": ["class 1"], "y": ["class 2"]}))], r"several controls .*\(x, y\)"),
        ([{"image": "0.png", "choise": "klass"}], "no control with names of the classes, but choise"),
        ([task("nope.png", (1, {"label": ["class 1"]}))], r"not among the images, first nope\.png"),
        (
            [task("0.png", (1, {"label": ["class 1", "class 9"]})), task("a/1.png", (1, {"label": ["class 9"]}))],
            "'class 9'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*several classes:UserWarning")
def test_exports_that_do_not_fit(exported, message, annotations, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(exported))
    with pytest.raises(InputError, match=message):
        import_labels(annotations, "label-studio", tmp_path / "x.json")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v.csv", "file_name,label\n0.png,class 1\na/1.png,-1\n"),
        ("v.csv", "path;class\n0.png;1\n"),
        ("v.tsv", "image\tcategory\n/data/upload/3/1a2b3c4d-0.png\tclass_1\na/1.png\tNone\n"),
        ("v.csv", "0.png,1\na/1.png,nan\n"),
        ("v.csv", "file_name,label,confidence\n0.png,class 1,0.9\n"),
    ],
)
def test_labels_of_a_model_become_votes(name, text, annotations, tmp_path):
    (tmp_path / name).write_text(text)
    known = annotations.with_labels(torch.tensor([-1, 3]))
    done = import_labels(known, "csv", tmp_path / name, "votes")
    assert done.labels.tolist() == [-1, 3] and done.votes.shape == (2, 2)
    assert done.votes[:, 1].tolist() == [1, -1] and done.annotators[-1].template == name
    with pytest.raises(InputError, match=r"--as vote: .*did you mean 'votes'"):
        import_labels(known, "csv", tmp_path / name, "vote")
