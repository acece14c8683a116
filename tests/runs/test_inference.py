import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel import networks
from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import Classifier
from zerolabel.errors import InputError
from zerolabel.runs.inference import evaluate_classifier, open_classifier, predictions, write_table

CLASSES = tuple("0123456789")


@pytest.fixture
def folders(tmp_path):
    """A classifier with random weights, 20 digits of which one is damaged, and their truth."""
    network = networks.build("light", 10, 16).eval()
    classifier = Classifier((network,), CLASSES, Preprocess(16, (0.5,) * 3, (0.3,) * 3), temperature=0.1)
    classifier.save(tmp_path / "run" / "classifier")
    data, rows = load_digits(), ["file_name,label"]
    (tmp_path / "images").mkdir()
    for i in range(20):
        Image.fromarray((data.images[i] * 15.9).astype(np.uint8)).save(tmp_path / "images" / f"{i:02d}.png")
        rows.append(f"{i:02d}.png,{data.target[i] if i < 15 else ''}")
    (tmp_path / "images" / "03.png").write_bytes(b"torn")
    (tmp_path / "truth.csv").write_text("\n".join(rows))
    return tmp_path


def test_the_classifier_of_a_run_or_alone(folders):
    for place in (folders / "run", folders / "run" / "classifier"):
        assert open_classifier(place).classes == CLASSES
    (folders / "begun").mkdir()
    with pytest.raises(InputError, match="give the folder of a finished run"):
        open_classifier(folders / "begun")
    (folders / "begun" / "stages.json").write_text("{}")
    with pytest.raises(InputError, match="finish it with"):
        open_classifier(folders / "begun")
    with pytest.raises(InputError, match="no such device"):
        open_classifier(folders / "run", "gpu")


def test_judging_counts_readable_images_with_known_truth(folders):
    with pytest.warns(UserWarning, match=r"1 of 20 images cannot be read, first 03.png"):
        found = evaluate_classifier(folders / "run", str(folders / "images"), str(folders / "truth.csv"), "cpu")
    assert (found["n"], found["n_skipped"]) == (14, 1)
    labels = open_classifier(folders / "run").predict([Image.open(folders / "images" / "00.png")])
    assert found["confusion"][0][CLASSES.index(labels[0])] >= 1
    json.dumps(found, allow_nan=False)


@pytest.mark.filterwarnings("ignore:1 of 20")
def test_truth_of_no_image_is_refused(folders):
    (folders / "empty.csv").write_text("file_name,label\n00.png,\n03.png,3\n")
    with pytest.raises(InputError, match="the class of no readable image"):
        evaluate_classifier(folders / "run", str(folders / "images"), str(folders / "empty.csv"), "cpu")


@pytest.mark.filterwarnings("ignore:1 of 20")
def test_predictions_and_abstention(folders):
    run, images = folders / "run", str(folders / "images")
    everything = predictions(run, images, False, None, "cpu")
    assert everything["label"].isna().tolist() == [i == 3 for i in range(20)]
    limit = float(everything["confidence"].median())
    some = predictions(run, images, True, limit, "cpu")
    assert some["confidence"].equals(everything["confidence"])
    assert some["label"].notna().tolist() == (some["confidence"].astype("float32") >= limit).tolist()
    assert 0 < some["label"].notna().sum() < 19
    with pytest.raises(InputError, match="has no threshold; give --threshold"):
        predictions(run, images, True, None, "cpu")


def test_tables_are_written_where_they_are_asked_for(tmp_path, capsys):
    table = pd.DataFrame({"file_name": ["a, b.png"], "label": ["é"], "confidence": [0.5]})
    write_table(table, tmp_path / "new" / "t.csv")
    write_table(table, tmp_path / "t.PARQUET")
    write_table(table, None)
    assert pd.read_csv(tmp_path / "new" / "t.csv").equals(table)
    assert pd.read_parquet(tmp_path / "t.PARQUET").equals(table)
    assert capsys.readouterr().out == 'file_name,label,confidence\n"a, b.png",é,0.5\n'
    with pytest.raises(InputError, match="cannot be written"):
        write_table(table, tmp_path / "new" / "t.csv" / "x.csv")
