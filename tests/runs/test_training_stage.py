"""What becomes of annotations before a student learns from them."""

import torch
from torch.nn import functional as F

from zerolabel.runs.stages.training import spread


def test_spread_annotations_follow_their_neighbours_but_never_overrule_a_person(make_annotations) -> None:  # type: ignore[no-untyped-def]
    angles = torch.cat([torch.linspace(0, 0.1, 12), torch.linspace(1.4, 1.5, 12)])
    features = F.normalize(torch.stack([angles.cos(), angles.sin()], 1), dim=1)
    votes = torch.tensor([0] * 11 + [1] + [1] * 11 + [-1])[:, None]
    labels = torch.full((24,), -1)
    labels[3] = 1
    given = make_annotations(votes, 2, labels=labels)
    after = spread(given, features)
    assert after.scores.argmax(1).tolist() == [0] * 3 + [1] + [0] * 8 + [1] * 12
    assert after.candidates.sum(1).tolist() == [1] * 24
    assert after.candidates.float().argmax(1).tolist() == after.scores.argmax(1).tolist()
    assert after.labels.tolist() == labels.tolist() and after.votes.tolist() == given.votes.tolist()
    assert "spread over neighbours" in after.rule


def test_where_nobody_spoke_there_is_nothing_to_spread(make_annotations) -> None:  # type: ignore[no-untyped-def]
    after = spread(make_annotations(torch.full((5, 1), -1), 3), F.normalize(torch.randn(5, 4), dim=1))
    assert not after.candidates.any() and not after.scores.any()
