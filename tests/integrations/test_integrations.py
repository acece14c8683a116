"""Out and back by every road, and what is wrong with files from elsewhere."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from zerolabel.annotations import Annotations, Annotator
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.integrations.convert import export_labels, import_labels
from zerolabel.integrations.joining import add_votes, blank, silent, unique_names
from zerolabel.integrations.table import INTEGRATIONS

FILES = {
    "snorkel": ("L.npy", "L.csv"),
    "cleanlab": ("votes.csv", "votes.parquet"),
    "pred-probs": ("p.npy", "p.csv"),
    "crowd-kit": ("answers.csv", "answers.parquet"),
    "label-studio": ("tasks.json",),
    "fiftyone": ("fields",),
    "hugging-face": ("data.parquet",),
    "croissant": ("data-set",),
    "csv": ("table.csv", "table.tsv", "table.parquet"),
}
CARRIES = {
    "votes": ("snorkel", "cleanlab", "crowd-kit", "hugging-face", "croissant", "csv"),
    "labels": ("label-studio", "fiftyone", "hugging-face", "croissant", "csv"),
}
EVERY = [(kind, name) for kind, names in FILES.items() for name in names]


def unlabeled(annotations):
    return replace(annotations, labels=torch.full_like(annotations.labels, -1))


def test_every_neighbor_is_tried():
    assert FILES.keys() == INTEGRATIONS.keys()


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_out_and_back(kind, name, annotated, tmp_path):
    export_labels(annotated, kind, tmp_path / name)
    back = import_labels(unlabeled(silent(annotated)), kind, tmp_path / name)
    if kind in CARRIES["votes"]:
        order = [unique_names(back.annotators).index(n) for n in unique_names(annotated.annotators)]
        assert torch.equal(back.votes[:, order], annotated.votes)
        human = annotated.human
        assert torch.equal(back.candidates[~human], annotated.candidates[~human])
    if kind in CARRIES["labels"]:
        assert torch.equal(back.labels, annotated.labels)
        assert torch.equal(back.candidates[:4].sum(1), torch.ones(4, dtype=torch.long))
    if kind in ("pred-probs", "hugging-face", "croissant"):
        spoken = annotated.scores.any(1)
        assert torch.allclose(back.scores[spoken], annotated.scores[spoken], atol=1e-6)
    assert (back.file_names, back.classes) == (annotated.file_names, annotated.classes)
    back.save(tmp_path / "saved.parquet")
    assert torch.equal(Annotations.load(tmp_path / "saved.parquet").votes, back.votes)
    assert [path for path in tmp_path.rglob(".*") if path.is_file()] == []


def test_a_loop_over_all_kinds_with_the_same_options(annotated, tmp_path):
    for kind in INTEGRATIONS:
        written = export_labels(annotated, kind, tmp_path / kind, "photos")
        assert written.exists() and (not INTEGRATIONS[kind].endings or written.suffix in INTEGRATIONS[kind].endings)
        assert import_labels(silent(annotated), kind, tmp_path / kind).file_names == annotated.file_names


def test_a_table_that_comes_back_adds_no_annotator_twice(annotated, tmp_path):
    written = export_labels(annotated, "csv", tmp_path / "table")
    table = pd.read_csv(written, dtype=str, keep_default_na=False)
    table.loc[7, "label"] = "two"
    table.to_csv(written, index=False)
    back = import_labels(annotated, "csv", written)
    assert torch.equal(back.votes, annotated.votes) and back.labels[7] == 2
    narrow = annotated.with_candidates(annotated.scores.argmax(1, keepdim=True) == torch.arange(10), "topk:1")
    export_labels(narrow, "csv", written)
    again = import_labels(silent(unlabeled(annotated)), "csv", written)
    human = annotated.human
    assert torch.equal(again.candidates[~human], narrow.candidates[~human]), "the sets of the table, not of the votes"


@pytest.mark.parametrize("text", ["[", "{}", '["one"]', '["a", "b", 3]'])
def test_damaged_names_of_a_matrix(annotated, tmp_path, text):
    written = export_labels(annotated, "snorkel", tmp_path / "L")
    written.with_name("L.npy.annotators.json").write_text(text)
    with pytest.raises(InputError, match="remove it to number the columns"):
        import_labels(silent(annotated), "snorkel", written)


def test_votes_join_those_that_were_there(annotated):
    again = add_votes(annotated, annotated.votes[:, :1], [Annotator("other", "", "")])
    assert again.votes.shape == (120, 4)
    n = (annotated.votes >= 0).sum(1)
    vote = torch.nn.functional.one_hot(annotated.votes[:, 0].clamp_min(0), 10).float()
    for i in (0, 1, 40, 119):
        by_hand = (annotated.scores[i] * n[i] + vote[i]) / (n[i] + 1)
        assert torch.allclose(again.scores[i], by_hand, atol=1e-6)
    assert not again.scores[5].any() and not again.candidates[5].any()
    assert torch.equal(again.labels, annotated.labels)
    assert again.candidates[2].nonzero().squeeze(1).tolist() == [5]


@pytest.mark.parametrize("kind", ["crowd-kit", "cleanlab", "hugging-face"])
def test_further_choices_of_an_annotator_stay_what_they_are(kind, annotated, tmp_path):
    who = (Annotator("chat", "", "which {}"), Annotator("chat", "", "which {}", 2), Annotator("other", "", ""))
    votes = torch.tensor([[1, 2, 1], [3, -1, -1], [-1, -1, 4]]).repeat(40, 1)
    several = add_votes(silent(annotated), votes, who)
    assert several.scores[0, :3].tolist() == [0, 1, 0]
    assert several.candidates[6].nonzero().squeeze(1).tolist() == [1, 2]
    export_labels(several, kind, tmp_path / "a.parquet")
    back = import_labels(silent(annotated), kind, tmp_path / "a.parquet")
    assert [one.choice for one in back.annotators] == [1, 2, 1]
    assert torch.equal(back.votes, votes) and torch.allclose(back.scores, several.scores)


def test_an_import_without_any_annotator_before(annotated, folder, tmp_path):
    new = blank(ImageSet.open(folder), annotated.classes)
    assert (new.file_names, new.sha256) == (annotated.file_names, annotated.sha256)
    assert torch.equal(new.sizes, annotated.sizes) and not new.candidates.any()
    export_labels(annotated, "snorkel", tmp_path / "L.npy")
    assert torch.equal(import_labels(new, "snorkel", tmp_path / "L.npy").votes, annotated.votes)


def test_a_new_correction_overrules_and_keeps_the_others(annotated, tmp_path):
    name = annotated.file_names
    table = pd.DataFrame({"file_name": [name[1], name[50], name[51]], "label": ["Seven", "nine", ""]})
    table.to_csv(tmp_path / "a.csv", index=False)
    back = import_labels(annotated, "csv", tmp_path / "a.csv")
    assert back.labels[[0, 1, 2, 3, 50, 51]].tolist() == [3, 7, 5, 9, 9, -1]
    assert back.candidates[50].nonzero().squeeze(1).tolist() == [9]
    assert torch.equal(back.votes, annotated.votes)


def test_the_table_for_people_shows_candidates_by_score(annotated, tmp_path):
    export_labels(annotated, "csv", tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    assert table["label"].tolist()[:5] == ["three", "zero", "five, or 'V'", "nine", ""]
    row = table.iloc[60]
    names = row["candidates"].split("|")
    assert set(names) == {annotated.classes[c] for c in annotated.candidates[60].nonzero().squeeze(1).tolist()}
    p = [float(annotated.scores[60, annotated.classes.index(n)]) for n in names]
    assert p == sorted(p, reverse=True) and names[0] == row["best"]
    assert table.iloc[5]["best"] == ""


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("snorkel", "a.npy", b"\x93NUMPY", "a.npy cannot be read"),
        ("snorkel", "a.csv", b"1,2\n3,4\n", "has 2 rows for 120 images"),
        ("snorkel", "a.csv", b"10\n" * 120, "holds 10; give class ids from 0 to 9"),
        ("snorkel", "a.csv", b"0.5\n" * 120, r"holds 0\.5"),
        ("pred-probs", "a.csv", b"0.5,0.5\n" * 120, "no probabilities of 10 classes"),
        ("cleanlab", "a.csv", b"file_name,x\nnope.png,1\n", "names 1 of 1 images .* first nope.png"),
        ("cleanlab", "a.csv", b"x\n1\n", "no column file_name"),
        ("crowd-kit", "a.csv", b"task,worker\n", "no column label"),
        ("crowd-kit", "a.csv", b"task,worker,label\nnope,a,one\nnope,a,two\n", "'a' answers nope twice"),
        ("label-studio", "a.json", b"{", "export of Label Studio"),
        ("label-studio", "a.json", b'[{"x": 1}]', "export of Label Studio"),
        ("label-studio", "a.json", b"[3]", "export of Label Studio"),
        ("fiftyone", "a.json", b"[]", "no label file of FiftyOne"),
        ("fiftyone", "a.json", b'{"labels": {"a": [{"label": "one"}]}}', "a list of labels"),
        ("hugging-face", "a.parquet", b"PAR1", "data set with candidates"),
        ("csv", "a.csv", b"file_name,label\nnope.png,one\n", "names 1 of 1 files that are not among"),
        ("csv", "a.csv", b"\xff\xfe", "cannot be read"),
        ("csv", "a.txt", b"x", "no extension of csv"),
        ("snorkl", "a.csv", b"x", "did you mean 'snorkel'"),
    ],
)
def test_files_that_do_not_fit_are_one_sentence(kind, name, content, message, annotated, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        import_labels(annotated, kind, tmp_path / name)
    assert "\n" not in str(caught.value)


def test_unknown_classes_are_refused(annotated, tmp_path):
    (tmp_path / "a.csv").write_text(f"task,worker,label\n{annotated.file_names[0]},a,eleven\n")
    with pytest.raises(InputError, match="unknown class 'eleven'"):
        import_labels(annotated, "crowd-kit", tmp_path / "a.csv")


def test_no_pickle_in_matrices(annotated, tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]] * 120, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        import_labels(annotated, "snorkel", tmp_path / "a.npy")


def test_commands(annotated, folder, tmp_path, call):
    annotated.save(tmp_path / "a.parquet")
    code, printed, _ = call(
        "export-labels", tmp_path / "a.parquet", "--to", "crowd-kit", "-o", tmp_path / "t.csv", "--json"
    )
    assert code == 0 and json.loads(printed)["n_images"] == 120
    out = tmp_path / "b.parquet"
    code, _, _ = call(
        "import-labels", tmp_path / "t.csv", "--from", "crowd-kit", "--into", tmp_path / "a.parquet", "-o", out
    )
    assert code == 0 and Annotations.load(out).votes.shape == (120, 6)
    code, printed, _ = call(
        *("import-labels", tmp_path / "t.csv", "--from", "crowd-kit", "--into", tmp_path / "a.parquet"),
        *("-o", out, "--replace", "--json"),
    )
    facts = json.loads(printed)
    assert (facts["n_annotators"], facts["n_human"], facts["n_human_before"]) == (3, 4, 4)
    (tmp_path / "classes.txt").write_text("\n".join(annotated.classes))
    code, _, _ = call(
        *("import-labels", tmp_path / "t.csv", "--from", "crowd-kit", "--images", folder),
        *("-c", tmp_path / "classes.txt", "-o", out),
    )
    assert code == 0 and torch.equal(Annotations.load(out).candidates[4:], annotated.candidates[4:])
    for wrong, message in {
        ("import-labels", tmp_path / "t.csv", "--from", "crowd-kit", "-o", out): "give --into ANNOTATIONS",
        ("import-labels", tmp_path / "n.csv", "--from", "csv", "--into", out, "-o", out): "there is no file",
        ("export-labels", out, "--to", "cvs", "-o", tmp_path / "x.csv"): "did you mean 'csv'",
    }.items():
        code, _, said = call(*wrong)
        assert code == 2 and message in " ".join(said.split())
