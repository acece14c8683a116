"""Scores corrected by a few labels: they follow whichever knows more, and need no label of every class."""

import torch
from torch.nn import functional

from zerolabel.adaptation.few_shot import correction


def world(noise: float, seed: int = 0):
    """600 images of five classes; annotators confuse classes 0 and 1 always, and others with a chance of ``noise``."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(5, (600,), generator=generator)
    features = functional.normalize(torch.eye(5, 8)[truth] + 0.35 * torch.randn(600, 8, generator=generator), dim=1)
    said = torch.where(truth < 2, 1 - truth, truth)
    random = torch.rand(600, generator=generator) < noise
    said = torch.where(random, torch.randint(5, (600,), generator=generator), said)
    return truth, features, 0.9 * functional.one_hot(said, 5) + 0.02


def labeled(truth, n, without=()):
    labels = torch.full_like(truth, -1)
    rows = [i for i in range(len(truth)) if int(truth[i]) not in without][:n]
    labels[rows] = truth[rows]
    return labels


def accuracy(p, truth, labels):
    return float((p.argmax(1) == truth)[labels < 0].float().mean())


def test_systematic_confusions_are_undone_and_labels_stay():
    truth, features, scores = world(0.1)
    labels = labeled(truth, 40)
    found = correction.corrected(scores, features, labels)
    assert accuracy(found, truth, labels) > accuracy(scores, truth, labels) + 0.3
    assert (found.argmax(1) == truth)[labels >= 0].all() and torch.allclose(found.sum(1), torch.ones(600))


def test_useless_scores_take_no_part():
    truth, features, scores = world(1.0)
    labels = labeled(truth, 60)
    known, given = features[labels >= 0].double(), truth[labels >= 0]
    kind = correction.best_kind(correction.STRETCH * known, scores[labels >= 0].log().double(), given, 0)
    assert not kind.scores or correction.fit(known, scores[labels >= 0].log().double(), given, kind).slope < 0.3
    assert accuracy(correction.corrected(scores, features, labels), truth, labels) > 0.8


def test_a_class_without_a_label_keeps_its_scores():
    truth, features, scores = world(0.1)
    labels = labeled(truth, 40, without=(4,))
    found = correction.corrected(scores[:, [1, 0, 2, 3, 4]], features, labels)
    before, after = ((p.argmax(1) == 4)[truth == 4].float().mean() for p in (scores, found))
    assert float(before) > 0.85 and float(after) > float(before) - 0.05


def test_good_scores_survive_a_few_labels_and_too_few_change_nothing():
    truth, features, scores = world(0.0)
    swapped = scores[:, [1, 0, 2, 3, 4]]  # now always right
    labels = labeled(truth, 6)
    assert accuracy(correction.corrected(swapped, features, labels), truth, labels) > 0.97
    few = labeled(truth, correction.LEAST - 1)
    assert correction.corrected(swapped, features, few) is swapped
    one_class = torch.where(truth == 2, truth, -1)
    assert correction.corrected(swapped, features, one_class) is swapped
