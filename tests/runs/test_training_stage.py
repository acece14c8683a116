"""What becomes of annotations before a student learns from them."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from zerolabel.annotations.candidates import parse_rule
from zerolabel.runs.stages.scores import rescored, spread


def test_spread_annotations_follow_their_neighbors_but_never_overrule_a_person(make_annotations) -> None:  # type: ignore[no-untyped-def]
    angles = torch.cat([torch.linspace(0, 0.1, 12), torch.linspace(1.4, 1.5, 12)])
    features = F.normalize(torch.stack([angles.cos(), angles.sin()], 1), dim=1)
    votes = torch.tensor([0] * 11 + [1] + [1] * 11 + [-1])[:, None]
    labels = torch.full((24,), -1)
    labels[3] = 1
    given = make_annotations(votes, 2, labels=labels)
    after = spread(given, [features])
    assert after.scores.argmax(1).tolist() == [0] * 3 + [1] + [0] * 8 + [1] * 12
    assert after.candidates.sum(1).tolist() == [1] * 24
    # votes stay candidates, a person's label is the only one, and an image without a vote gets its neighbors' class
    assert after.candidates.float().argmax(1).tolist() == [0] * 3 + [1] + [0] * 7 + [1] * 13
    assert after.labels.tolist() == labels.tolist() and after.votes.tolist() == given.votes.tolist()
    assert "spread over neighbors" in after.rule


def test_where_nobody_spoke_there_is_nothing_to_spread(make_annotations) -> None:  # type: ignore[no-untyped-def]
    after = spread(make_annotations(torch.full((5, 1), -1), 3), [F.normalize(torch.randn(5, 4), dim=1)])
    assert not after.candidates.any() and not after.scores.any()


@pytest.mark.parametrize(
    ("rule", "sizes"),
    [
        (
            "union",
            [2, 2, 1, 1, 0, 1],
        ),  # the votes are what they were; the last image, without any, gets its neighbors' class
        ("votes:2", [1, 1, 1, 1, 0, 1]),
        ("votes:3", [0, 0, 1, 1, 0, 1]),
        ("topk:3", [3, 3, 3, 3, 0, 3]),
        ("mass:0.9", None),
    ],
)
def test_spread_scores_pass_through_the_candidate_rule(rule: str, sizes: list[int] | None, make_annotations) -> None:  # type: ignore[no-untyped-def]
    votes = torch.tensor([[0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0], [-1, -1, -1], [-1, -1, -1]])
    features = F.normalize(torch.tensor([[1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4], [0, 0], [1, 0.5]]), dim=1)
    given = replace(make_annotations(votes, 3), rule=rule)
    after = spread(given, [features])
    before = parse_rule(rule)(given)
    assert torch.equal(after.candidates[:4], parse_rule(rule)(after)[:4])
    if rule.startswith("votes") or rule == "union":
        assert torch.equal(after.candidates[:4], before[:4])
    if sizes is not None:
        assert after.candidates.sum(1).tolist()[:4] == sizes[:4] and after.candidates[5].sum() == sizes[5]
    assert after.rule == f"{rule}, spread over neighbors"
    again = rescored(after, torch.tensor([[0.2, 0.7, 0.1]]).expand(6, 3), "cleaned on frozen features")
    assert torch.equal(again.candidates[:4], parse_rule(rule)(again)[:4])


def test_candidates_that_no_rule_made_stay(make_annotations) -> None:  # type: ignore[no-untyped-def]
    sets = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 0, 1]]).bool()
    given = replace(make_annotations(torch.tensor([[0], [1], [0], [2]]), 3, candidates=sets), rule="partial q=0.3")
    after = spread(given, [F.normalize(torch.randn(4, 5), dim=1)])
    assert torch.equal(after.candidates, sets) and not torch.equal(after.scores, given.scores)
