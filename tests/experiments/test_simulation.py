"""Simulated annotators: their statistics are those that were asked for, and a student trains on them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from zerolabel import cli
from zerolabel.annotations import Annotations
from zerolabel.errors import InputError
from zerolabel.experiments import simulation


def test_uniform_sets_have_the_sizes_and_the_noise_that_were_asked_for():
    labels = torch.arange(40_000) % 10
    sets = simulation.flip_uniformly(labels, 10, 0.3, 0.2, torch.Generator().manual_seed(0))
    assert float(sets.sum(1).double().mean()) == pytest.approx(1 + 9 * 0.3, abs=0.03)
    held = sets.gather(1, labels[:, None]).double().mean()
    assert float(held) == pytest.approx(1 - 0.2, abs=0.01)


def test_noise_is_skipped_where_all_classes_are_candidates():
    labels = torch.arange(30) % 3
    assert simulation.flip_uniformly(labels, 3, 1.0, 1.0, torch.Generator()).all()
    only = simulation.flip_uniformly(labels, 3, 0.0, 0.0, torch.Generator())
    assert torch.equal(only, torch.nn.functional.one_hot(labels, 3).bool())
    wrong = simulation.flip_uniformly(labels, 3, 0.0, 1.0, torch.Generator())
    assert (wrong.sum(1) == 1).all() and not wrong.gather(1, labels[:, None]).any()


def test_class_votes_follow_the_matrix():
    matrix = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5], [0.1, 0.1, 0.8]])
    labels = torch.arange(9_000) % 3
    votes, scores = simulation.vote_by_class(labels, matrix, 4, torch.Generator().manual_seed(1))
    for c in range(3):
        seen = torch.bincount(votes[labels == c].flatten(), minlength=3) / 12_000
        assert torch.allclose(seen, matrix[c], atol=0.02)
    assert torch.allclose(scores.sum(1), torch.ones(9_000))


def test_a_drawn_matrix_has_the_accuracy_on_its_diagonal():
    matrix = simulation.draw_confusion(7, 0.6, torch.Generator().manual_seed(0))
    assert torch.allclose(matrix.sum(1), torch.ones(7)) and torch.allclose(matrix.diagonal(), torch.full((7,), 0.6))


def test_long_tail_falls_geometrically():
    labels = torch.arange(1_000) % 5
    counts = torch.bincount(labels[simulation.long_tailed(labels, 5, 16.0)])
    assert counts.tolist() == [200, 100, 50, 25, 12]
    with pytest.raises(InputError, match="--ratio"):
        simulation.long_tailed(labels, 5, 0.5)


@pytest.fixture
def squares(tmp_path):
    """Images that a weak network can tell apart: 90 squares of three noisy colors, and their truth."""
    rng, colors = np.random.default_rng(0), np.eye(3) * 120
    (tmp_path / "images").mkdir()
    rows = []
    for i in range(90):
        pixels = (colors[i % 3] + 60 + rng.normal(0, 40, (8, 8, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i:02d}.png")
        rows.append((f"{i:02d}.png", "abc"[i % 3]))
    pd.DataFrame(rows, columns=["file_name", "label"]).to_csv(tmp_path / "truth.csv", index=False)
    return tmp_path


def command(squares, *more):
    given = ["simulate", squares / "images", "--classes", "a,b,c", "--truth", squares / "truth.csv", *more]
    cli.main([str(part) for part in [*given, "-o", squares / "out.parquet", "--json"]])


@pytest.mark.parametrize("kind", ["uniform", "class", "instance"])
def test_the_command_writes_ordinary_annotations(squares, capsys, kind):
    command(squares, "--kind", kind, "--annotators", 3, "--labeled", 4, "--epochs", 2)
    facts = json.loads(capsys.readouterr().out)
    made = Annotations.load(squares / "out.parquet")
    assert facts["n_images"] == len(made) == 90
    assert made.votes.shape[1] == (1 if kind == "uniform" else 3)
    assert (made.votes >= 0).all() and torch.allclose(made.scores.sum(1), torch.ones(90), atol=1e-5)
    assert made.candidates.gather(1, made.votes).all()
    assert (made.labels == -1).all()
    assert made.annotators[0].model == f"simulated:{kind}"


def test_a_pixel_student_trains_on_them(squares, capsys):
    command(squares, "--kind", "uniform", "--q", 0.2)
    train = ["train", squares / "images", squares / "out.parquet", "-o", squares / "run", "--method", "proden"]
    more = ["--student", "light", "--epochs", 1, "--no-flip", "--json", "--truth", squares / "truth.csv"]
    capsys.readouterr()
    cli.main([str(part) for part in [*train, *more]])
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["candidate_coverage"] == 1 and metrics["n_images"] == 90


def test_the_same_seed_gives_the_same_annotations(squares):
    command(squares, "--kind", "class", "--seed", 3)
    first = Annotations.load(squares / "out.parquet").votes
    command(squares, "--kind", "class", "--seed", 3, "--overwrite")
    assert torch.equal(first, Annotations.load(squares / "out.parquet").votes)
    command(squares, "--kind", "class", "--seed", 4, "--overwrite")
    assert not torch.equal(first, Annotations.load(squares / "out.parquet").votes)


def test_a_pool_of_another_ratio_and_a_given_matrix(squares, capsys):
    np.savetxt(squares / "matrix.csv", np.roll(np.eye(3), 1, 1), delimiter=",")
    command(squares, "--kind", "class", "--ratio", 9, "--confusion", squares / "matrix.csv")
    facts = json.loads(capsys.readouterr().out)
    assert facts["n_images"] == 30 + 10 + 3 and facts["accuracy"] == 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--kind", "unifrom"], "uniform"),
        (["--kind", "uniform", "--q", "2"], "--q 2"),
        (["--kind", "class", "--accuracy", "7"], "--accuracy"),
        (["--kind", "class", "--confusion", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_mistakes_are_told(squares, capsys, more, told):
    with pytest.raises(SystemExit) as ended:
        command(squares, *more)
    assert ended.value.code == 2 and told in capsys.readouterr().err
