"""GRIP against what the authors' code gave: pseudo-labels of each class, and those for some classes alone."""

import pytest
import torch
from golden_case import load

from zerolabel.blocks import pseudo_labels
from zerolabel.learners.grip import GRIP
from zerolabel.networks import build


def pairs(on):
    return {(i, c) for i, c in on.nonzero().tolist()}


def theirs(rows):
    return {tuple(row) for row in rows.tolist()}


def test_grip_number_of_pseudo_labels():
    g = load("grip")["k_table"]
    for (n, c, t), k in zip(g.images_classes_round.tolist(), g.per_class.tolist(), strict=True):
        flat = torch.full((c,), 1 / c)
        found = pseudo_labels.counts_for(flat, n, k=16, round_=t, rounds=10, growing=True)
        assert found.tolist() == [max(k, 1)] * c  # ours is never none


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("case", ["c5", "c10", "c47"])
def test_grip_boards(case, k):
    g = load("grip")[case]
    p = g.logits.softmax(1)
    assert pairs(pseudo_labels.boards(p, torch.full((p.shape[1],), k))) == theirs(g[f"chosen_{k}"])


@pytest.mark.parametrize(("case", "k"), [("c5", 2), ("c10", 2), ("c47", 2), ("small_trzsl", 1)])
def test_grip_with_seen_classes(case, k, make_annotations):
    g = load("grip")[case]
    p = g.logits.softmax(1)
    annotations = make_annotations(p.argmax(1, keepdim=True), p.shape[1], scores=p)
    options = {"rounds": 1, "k": k, "growing": False, "seen": tuple(g.seen.tolist())}
    network = build("linear", p.shape[1], 3)
    wanted = theirs(g[f"chosen_unseen_{k}"])
    assert pairs(GRIP(network, annotations, boards=True, **options).select(p, 1)) == wanted
    chosen = GRIP(network, annotations, **options).choose(p, 1)
    assert not set(chosen.tolist()) & set(g.seen.tolist())
    if case == "small_trzsl":
        assert {(i, c) for i, c in enumerate(chosen.tolist()) if c >= 0} == wanted
