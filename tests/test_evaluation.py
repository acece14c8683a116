import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from zerolabel import evaluation
from zerolabel.calibration import calibrate, mean_confidence, threshold_for_share
from zerolabel.errors import InputError
from zerolabel.images import sha256
from zerolabel.prompts import Classes
from zerolabel.truth import Labels


@pytest.fixture
def some():
    torch.manual_seed(0)
    p = torch.randn(200, 4).mul(2).softmax(1)
    truth = torch.randint(-1, 4, (200,))
    return p, truth


def test_accuracies_match_scikit_learn(some):
    p, truth = some
    predicted, known = p.argmax(1), truth >= 0
    assert evaluation.accuracy(predicted, truth) == pytest.approx((predicted == truth)[known].float().mean())
    expected = balanced_accuracy_score(truth[known], predicted[known])
    assert evaluation.mean_per_class_accuracy(predicted, truth, 4) == pytest.approx(expected)
    found = evaluation.confusion_matrix(predicted, truth, 4)
    assert found.tolist() == confusion_matrix(truth[known], predicted[known]).tolist()
    assert torch.allclose(evaluation.per_class_accuracy(predicted, truth, 4), found.diag() / found.sum(1))


def test_an_abstention_is_not_right_and_unknown_truth_does_not_count():
    predicted, truth = torch.tensor([0, -1, 1, 1]), torch.tensor([0, 0, -1, 1])
    assert evaluation.accuracy(predicted, truth) == pytest.approx(2 / 3)
    assert evaluation.confusion_matrix(predicted, truth, 2).tolist() == [[1, 0], [0, 1]]


def test_calibration_error_by_a_plain_loop(some):
    p, truth = some
    rows = [(float(x.max()), int(x.argmax()) == int(t)) for x, t in zip(p, truth, strict=True) if t >= 0]
    expected = 0.0
    for b in range(15):
        inside = [row for row in rows if min(int(row[0] * 15), 14) == b]
        if inside:
            gap = sum(c for c, _ in inside) / len(inside) - sum(r for _, r in inside) / len(inside)
            expected += len(inside) / len(rows) * abs(gap)
    assert evaluation.expected_calibration_error(p, truth) == pytest.approx(expected, abs=1e-6)


def test_calibration_error_of_certain_answers():
    p, truth = torch.eye(2)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 0])
    assert evaluation.expected_calibration_error(p, truth) == pytest.approx(0.25)


def test_candidates_and_votes():
    candidates = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]]).bool()
    truth = torch.tensor([0, 2, 1, -1])
    assert evaluation.candidate_coverage(candidates, truth) == 0.5
    assert evaluation.mean_candidates(candidates) == 2.0
    votes = torch.tensor([[0, -1], [2, -1], [0, -1], [1, -1]])
    assert evaluation.vote_accuracy(votes, truth).tolist() == pytest.approx([2 / 3, math.nan], nan_ok=True)


def test_label_free_figures():
    first, second = torch.tensor([0, 1, 2, -1]), torch.tensor([0, 1, 1, 2])
    assert evaluation.agreement(first, second) == pytest.approx(2 / 3)
    assert evaluation.class_counts(first, 4).tolist() == [1, 1, 1, 0]
    p = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.51, 0.49]])
    assert evaluation.confidence_histogram(p, 4).tolist() == [0, 0, 2, 1]


def test_nothing_known_is_not_a_number():
    truth = torch.full((3,), -1)
    assert math.isnan(evaluation.accuracy(torch.tensor([0, 1, 2]), truth))
    result = evaluation.evaluate(torch.full((3, 2), 0.5), truth, ("a", "b"))
    assert (result["n"], result["accuracy"], result["ece"]) == (0, None, None)
    json.dumps(result, allow_nan=False)


def test_evaluate_counts_an_unreadable_image_as_wrong():
    p = torch.tensor([[0.9, 0.1], [math.nan, math.nan], [0.2, 0.8]])
    result = evaluation.evaluate(p, torch.tensor([0, 0, 1]), ("a", "b"))
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert result["per_class"] == {"a": 0.5, "b": 1.0}
    with pytest.raises(InputError, match="do not belong together"):
        evaluation.evaluate(p, torch.tensor([0, 0, 1]), ("a", "b", "c"))


def test_temperature_meets_the_target():
    torch.manual_seed(0)
    logits = torch.randn(500, 7) * 6
    for target in (0.5, 0.8, 0.97):
        assert mean_confidence(logits, calibrate(logits, target)) == pytest.approx(target, abs=1e-6)
    assert calibrate(logits, 0.0) == pytest.approx(20.0)
    clear = torch.eye(7).repeat(70, 1) * 20
    assert mean_confidence(clear, calibrate(clear, 1.0)) == pytest.approx(491 / 492, abs=1e-6)
    assert calibrate(logits * 1e-3, 0.9) == pytest.approx(0.05)
    assert calibrate(torch.zeros(3, 4), 0.9) == 1.0


def test_temperature_recovers_the_one_that_was_undone():
    torch.manual_seed(0)
    logits = torch.randn(20_000, 5) * 2
    truth = torch.distributions.Categorical(logits=logits).sample()
    accuracy = evaluation.accuracy(logits.argmax(1), truth)
    assert calibrate(logits * 3, accuracy) == pytest.approx(3, rel=0.05)


def test_bad_targets_are_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        calibrate(torch.ones(1, 2), 90.0)
    with pytest.raises(InputError, match="at least one image"):
        calibrate(torch.zeros(0, 2), 0.5)
    with pytest.raises(InputError, match="finite"):
        calibrate(torch.tensor([[math.nan, 1.0]]), 0.5)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 1.0])
def test_threshold_keeps_the_share(share):
    torch.manual_seed(0)
    confidence = torch.rand(200)
    kept = (confidence >= threshold_for_share(confidence, share)).sum()
    assert int(kept) == round(share * 200)


def test_threshold_needs_images_and_a_share():
    with pytest.raises(InputError):
        threshold_for_share(torch.zeros(0), 0.5)
    with pytest.raises(InputError):
        threshold_for_share(torch.ones(3), 0.0)
    assert threshold_for_share(torch.full((5,), 0.7), 0.2) == pytest.approx(0.7)


# --- truth


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
    path = written(pictures, "file_name,label\n./a/1.png,cat\nb\\1.png, Dog \nelsewhere/2.png,grey_hound\nc.png,\n")
    assert read(pictures, path, aliases=((), ("grey hound",))) == [0, 1, 1, -1]


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
