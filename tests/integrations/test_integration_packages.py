"""Each kind of file through the package that it is for."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from zerolabel.integrations import cleanlab, crowd_kit, fiftyone, label_studio, snorkel
from zerolabel.integrations.convert import export_labels, import_labels
from zerolabel.integrations.joining import silent


def test_snorkel(annotated):
    model = pytest.importorskip("snorkel.labeling.model", reason="snorkel is not installed (pip install snorkel)")
    analysis = pytest.importorskip("snorkel.labeling").LFAnalysis(snorkel.label_matrix(annotated))
    summary = analysis.lf_summary()
    said = (annotated.votes >= 0).float().mean(0).tolist()
    assert summary["Coverage"].tolist() == pytest.approx(said)
    voter = model.MajorityLabelVoter(cardinality=10)
    p = voter.predict_proba(snorkel.label_matrix(annotated))
    by_hand = torch.nn.functional.one_hot(annotated.votes + 1, 11)[:, :, 1:].sum(1)
    assert np.allclose(p[0], (by_hand[0] == by_hand[0].max()) / (by_hand[0] == by_hand[0].max()).sum())
    label_model = model.LabelModel(cardinality=10, verbose=False)
    label_model.fit(snorkel.label_matrix(annotated), n_epochs=50, seed=0, progress_bar=False)
    assert label_model.predict_proba(snorkel.label_matrix(annotated)).shape == (120, 10)


@pytest.mark.filterwarnings("ignore")
def test_cleanlab(annotated, tmp_path):
    pytest.importorskip("cleanlab", reason="cleanlab is not installed")
    from cleanlab.filter import find_label_issues
    from cleanlab.multiannotator import get_label_quality_multiannotator

    votes, p = cleanlab.multiannotator(annotated), cleanlab.pred_probs(annotated)
    assert votes.isna().to_numpy().sum() == int((annotated.votes < 0).sum())
    spoken = votes.notna().any(axis=1).to_numpy()
    found = get_label_quality_multiannotator(votes[spoken], p[spoken], verbose=False)
    assert len(found["label_quality"]) == 119
    assert set(found["annotator_stats"].index) == set(votes.columns)
    issues = find_label_issues(annotated.votes[spoken][:, 0].numpy(), p[spoken])
    assert issues.shape == (119,)
    export_labels(annotated, "cleanlab", tmp_path / "v.csv")
    read = pd.read_csv(tmp_path / "v.csv", index_col="file_name")
    assert np.array_equal(read.to_numpy(float), votes.to_numpy(), equal_nan=True)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_crowd_kit(annotated):
    aggregation = pytest.importorskip("crowdkit.aggregation", reason="crowd-kit is not installed")
    answers = crowd_kit.answers(annotated)
    voted = aggregation.MajorityVote().fit_predict(answers)
    counts = torch.nn.functional.one_hot(annotated.votes + 1, 11)[:, :, 1:].sum(1)
    assert len(voted) == 119
    for name, label in voted.items():
        row = counts[annotated.file_names.index(name)]
        assert row[annotated.classes.index(label)] == row.max()


@pytest.mark.filterwarnings("ignore")
def test_hugging_face(annotated, folder, tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    export_labels(annotated, "hugging-face", tmp_path / "a.parquet", str(folder))
    data = datasets.Dataset.from_parquet(str(tmp_path / "a.parquet"), cache_dir=str(tmp_path / "cache"))
    label = data.features["candidates"].feature
    assert isinstance(label, datasets.ClassLabel) and tuple(label.names) == annotated.classes
    row = data[60]
    assert label.int2str(row["candidates"]) == [
        annotated.classes[c] for c in annotated.candidates[60].nonzero().squeeze(1).tolist()
    ]
    assert row["image"].size == (8, 8) and data[2]["label"] == 5 and data[9]["label"] is None
    changed = data.select_columns(["file_name", "candidates", "votes", "label"]).select(range(119, -1, -1))
    changed.to_parquet(tmp_path / "b.parquet")
    back = import_labels(silent(annotated), "hugging-face", tmp_path / "b.parquet")
    assert torch.equal(back.votes, annotated.votes)
    assert torch.equal(back.candidates, annotated.candidates)


def test_fiftyone(annotated, folder, tmp_path):
    fo = pytest.importorskip("fiftyone", reason="fiftyone is not installed (it brings a database server)")
    from fiftyone.utils.data.importers import FiftyOneImageClassificationDatasetImporter as Importer

    export_labels(annotated, "fiftyone", tmp_path / "named")
    export_labels(annotated, "fiftyone", tmp_path / "placed", str(folder))
    for out, data in (("named", str(folder)), ("placed", None)):
        for field in fiftyone.FIELDS:
            importer = Importer(data_path=data, labels_path=str(tmp_path / out / f"{field}.json"))
            with importer:
                found = {path: label for path, _, label in importer}
            assert all(path.startswith(str(folder)) for path in found)
            if field == "candidates":
                label = found[str(folder / annotated.file_names[60])]
                names = {annotated.classes[c] for c in annotated.candidates[60].nonzero().squeeze(1).tolist()}
                assert {one.label for one in label.classifications} == names
                assert label.classifications[0].confidence == pytest.approx(float(annotated.scores[60].max()))
            else:
                assert len(found) == (119 if field == "zero_shot" else 4)
                assert all(isinstance(label, fo.Classification) for label in found.values())


def corrected(annotations, classes):
    """An export of Label Studio as JSON: what two people did with the first tasks."""
    exported = []
    for number, task in enumerate(label_studio.tasks(annotations, "/data/local-files/?d=photos")):
        answers = classes.get(task["data"]["file_name"], [])
        exported.append(
            {
                **task,
                "id": number,
                "annotations": [
                    {
                        "id": 100 * number + i,
                        "completed_by": {"id": person} if person > 1 else person,
                        "was_cancelled": choice is None,
                        "updated_at": f"2026-01-0{i + 1}T00:00:00Z",
                        "result": [
                            {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": choice}}
                        ]
                        if choice
                        else [],
                    }
                    for i, (person, choice) in enumerate(answers)
                ],
            }
        )
    return exported


def test_corrections_of_label_studio(annotated, tmp_path):
    names = annotated.file_names
    answers = {
        names[10]: [(1, ["one"]), (1, ["two"])],
        names[11]: [(1, ["one"]), (2, ["two"])],
        names[12]: [(1, ["one", "two"])],
        names[13]: [(1, None)],
        names[14]: [(1, ["six"]), (2, ["six"])],
    }
    (tmp_path / "a.json").write_text(json.dumps(corrected(annotated, answers)))
    with pytest.warns(UserWarning, match="2 images have several classes or people who disagree"):
        back = import_labels(annotated, "label-studio", tmp_path / "a.json")
    assert back.labels[10:15].tolist() == [2, -1, -1, -1, 6]
    assert back.labels[:4].tolist() == annotated.labels[:4].tolist()
    assert back.candidates[14].nonzero().squeeze(1).tolist() == [6]
    short = [
        {"image": "x", "file_name": names[20], "label": "one", "id": 1},
        {"image": f"/upload/{names[21]}", "label": {"choices": ["two"]}, "id": 2},
        {"image": "x", "file_name": names[22], "id": 3},
    ]
    (tmp_path / "b.json").write_text(json.dumps(short))
    assert import_labels(annotated, "label-studio", tmp_path / "b.json").labels[20:23].tolist() == [1, 2, -1]


def test_label_studio(annotated, tmp_path):
    interface = pytest.importorskip(
        "label_studio_sdk.label_interface", reason="label-studio-sdk is not installed (it holds numpy back)"
    )
    from label_studio_sdk.converter import Converter

    export_labels(annotated, "label-studio", tmp_path / "a.json", "http://host/photos")
    view = interface.LabelInterface((tmp_path / "a.xml").read_text())
    view.validate()
    assert tuple(view.get_control("label").labels) == annotated.classes
    tasks = json.loads((tmp_path / "a.json").read_text())
    for number, task in enumerate(tasks):
        assert view.validate_task({"id": number, "data": task["data"]})
        for prediction in task.get("predictions", []):
            assert view.validate_prediction(prediction)
    assert tasks[1]["data"]["image"].startswith("http://host/photos/part%20")
    exported = corrected(annotated, {annotated.file_names[30]: [(1, ["five, or 'V'"])]})
    (tmp_path / "export.json").write_text(json.dumps(exported))
    converter = Converter((tmp_path / "a.xml").read_text(), str(tmp_path))
    for convert, name, kind, options in (
        ("convert_to_json_min", "result.json", "label-studio", {}),
        ("convert_to_csv", "result.csv", "csv", {"sep": ",", "header": True}),
    ):
        (tmp_path / convert).mkdir()
        getattr(converter, convert)(str(tmp_path / "export.json"), str(tmp_path / convert), is_dir=False, **options)
        back = import_labels(annotated, kind, tmp_path / convert / name)
        assert int(back.labels[30]) == 5 and int(back.human.sum()) == 5
