"""Images that are set aside are not learned, and decide which network is kept and whether an alarm is raised."""

from dataclasses import replace

import torch

from zerolabel.data.views import Features, Preprocess
from zerolabel.diagnostics import alarms
from zerolabel.learners import LEARNERS
from zerolabel.networks import build
from zerolabel.training.fitting import fit
from zerolabel.training.log import LogFile
from zerolabel.training.set_aside import FEWEST, MOST, remaining, set_aside
from zerolabel.training.settings import Settings

CPU = Settings(epochs=40, batch_size=32, lr=0.1, precision="float32", device="cpu")


def test_a_share_of_the_images_without_a_human_label(make_annotations):
    annotations = make_annotations(torch.randint(0, 5, (1000, 2)), 5)
    labels = torch.where(torch.arange(1000) < 400, 1, -1)
    aside = set_aside(replace(annotations, labels=labels), 0.2, seed=3)
    assert len(aside) == 200 and int(aside.min()) >= 400 and aside.tolist() == sorted(set(aside.tolist()))
    assert torch.equal(aside, set_aside(replace(annotations, labels=labels), 0.2, seed=3))
    assert not torch.equal(aside, set_aside(replace(annotations, labels=labels), 0.2, seed=4))
    assert sorted([*aside.tolist(), *remaining(1000, aside).tolist()]) == list(range(1000))


def test_small_pools_are_learned_whole_and_large_ones_keep_a_bound(make_annotations):
    votes = torch.randint(0, 5, (20 * MOST, 1))
    assert len(set_aside(make_annotations(votes[: FEWEST - 1], 5), 0.1, 0)) == 0
    assert len(set_aside(make_annotations(votes[:FEWEST], 5), 0.1, 0)) == FEWEST // 10
    assert len(set_aside(make_annotations(votes, 5), 0.1, 0)) == MOST
    assert len(set_aside(make_annotations(votes[:500], 5), 0.0, 0)) == 0


def test_a_memorized_pool_is_seen_on_the_images_set_aside(make_annotations, tmp_path):
    """Votes that are right, and features that do not tell classes apart: right on what it learned alone."""
    torch.manual_seed(0)
    truth = torch.randint(0, 5, (400, 1))
    annotations, x = make_annotations(truth.repeat(1, 3), 5), torch.randn(400, 300)
    aside = set_aside(annotations, 0.25, seed=0)
    kept = remaining(400, aside)
    learner = LEARNERS["cross_entropy"](build("mlp", 5, 300), annotations.select(kept))
    made = fit(
        learner, annotations, Features(x), CPU, Preprocess(32, (0.5,) * 3, (0.5,) * 3),
        LogFile(tmp_path / "log.jsonl", "train"), tmp_path / "checkpoint.safetensors", aside=aside,
    )  # fmt: skip
    predicted = made.log_probabilities[0].argmax(1)
    assert torch.equal(made.aside, aside) and len(predicted) == 400
    assert not alarms.check(predicted[kept], annotations.select(kept))
    assert "worse" in {one.kind for one in alarms.check(predicted[aside], annotations.select(aside))}
