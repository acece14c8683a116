from dataclasses import replace
from hashlib import sha256

import pytest
import torch

from zerolabel.annotations import Annotations, Annotator, names_of
from zerolabel.annotations.candidates import union_of_votes
from zerolabel.annotations.merging import merge, merge_all
from zerolabel.errors import InputError

C = 4


def content(name):
    """The hash of an image."""
    return sha256(name.encode()).hexdigest()


def of(make_annotations, model, votes, images, scores=None, **more):
    """Annotations of a model of its own, of some images out of a pool, whose content follows from the name."""
    votes = torch.tensor(votes)
    made = make_annotations(votes, C, scores=scores)
    return replace(
        made,
        file_names=tuple(f"{name}.png" for name in images),
        sha256=tuple(content(name) for name in images),
        annotators=tuple(Annotator(model, "1", f"{a} {{}}") for a in range(votes.shape[1])),
        **more,
    )


@pytest.fixture
def a(make_annotations):
    scores = torch.tensor([[0.7, 0.3, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0]])
    return of(make_annotations, "A", [[0, 0], [1, 2], [-1, -1]], "xyz", scores)


@pytest.fixture
def b(make_annotations):
    scores = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1.0, 0, 0, 0], [0, 0, 0.25, 0.75]])
    return of(make_annotations, "B", [[3], [0], [3]], "wxz", scores)


def test_votes_stand_side_by_side_and_scores_are_the_mean_over_who_spoke(a, b):
    both = merge(a, b)
    assert both.file_names == ("x.png", "y.png", "z.png", "w.png")
    assert both.sha256[3] == content("w")
    assert both.annotators == a.annotators + b.annotators
    assert both.votes.tolist() == [[0, 0, 0], [1, 2, -1], [-1, -1, 3], [-1, -1, 3]]
    expected = [[(2 * 0.7 + 1.0) / 3, 2 * 0.3 / 3, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0.25, 0.75], [0.1, 0.2, 0.3, 0.4]]
    assert torch.allclose(both.scores, torch.tensor(expected))
    assert torch.equal(both.candidates, union_of_votes(both.votes, C))
    assert both.n_votes.tolist() == [3, 2, 1, 1]
    assert torch.equal(merge(a, b, "topk:1").candidates.sum(1), torch.ones(4, dtype=torch.long))


def test_any_split_of_many_annotators_is_the_whole(make_annotations):
    random = torch.Generator().manual_seed(0)
    p = torch.rand(50, 5, C, generator=random).softmax(2)  # image, annotator, class
    votes = p.argmax(2)
    silent = torch.rand(50, 5, generator=random) < 0.2
    votes[silent], p[silent] = -1, 0

    def part(columns):
        scores = p[:, columns].sum(1) / (votes[:, columns] >= 0).sum(1, keepdim=True).clamp_min(1)
        found = of(make_annotations, "M", votes[:, columns].tolist(), [str(i) for i in range(50)], scores)
        return replace(found, annotators=tuple(Annotator("M", "", f"{k} {{}}") for k in columns))

    whole = part([0, 1, 2, 3, 4])
    for split in ([[0], [1, 2, 3, 4]], [[0, 1], [2, 3], [4]], [[0], [1], [2], [3], [4]]):
        joined = merge_all([part(columns) for columns in split], [str(columns) for columns in split])
        assert torch.equal(joined.votes, whole.votes)
        assert torch.allclose(joined.scores, whole.scores, atol=1e-6)
        assert torch.equal(joined.candidates, whole.candidates)


def test_a_merged_file_merged_with_itself_is_itself(a, b, tmp_path):
    both = merge(a, b)
    both.save(tmp_path / "a.parquet")
    for again in (merge(both, Annotations.load(tmp_path / "a.parquet")), merge(both, b), merge(both, a)):
        for name in ("votes", "scores", "candidates", "labels", "sizes"):
            assert torch.equal(getattr(again, name), getattr(both, name)), name
        assert again.annotators == both.annotators


def test_one_annotator_on_two_halves_keeps_its_column(make_annotations):
    left = of(make_annotations, "A", [[0, 1], [2, 2]], "xy")
    right = of(make_annotations, "A", [[2, 2], [3, 1]], "yz")
    whole = of(make_annotations, "A", [[0, 1], [2, 2], [3, 1]], "xyz")
    joined = merge(left, right)
    assert joined.annotators == whole.annotators
    for name in ("votes", "scores", "candidates"):
        assert torch.equal(getattr(joined, name), getattr(whole, name)), name


def test_classes_in_another_order_are_put_in_order(a, b):
    order = [2, 0, 3, 1]
    back = torch.tensor(order).argsort()
    shuffled = replace(
        b,
        classes=tuple(b.classes[c] for c in order),
        votes=back[b.votes],
        scores=b.scores[:, order],
        candidates=b.candidates[:, order],
    ).with_labels(torch.tensor([-1, 1, -1]))
    straight = b.with_labels(torch.tensor([-1, 0, -1]))
    for name in ("votes", "scores", "candidates", "labels"):
        assert torch.equal(getattr(merge(a, shuffled), name), getattr(merge(a, straight), name)), name


def test_further_choices_vote_and_do_not_count_as_annotators(make_annotations):
    scores = torch.tensor([[1.0, 0, 0, 0]])
    two = of(make_annotations, "chat", [[0, 2]], "x", scores)
    two = replace(two, annotators=(Annotator("chat", "", "which {}?"), Annotator("chat", "", "which {}?", choice=2)))
    other = of(make_annotations, "B", [[1]], "x", torch.tensor([[0.0, 1.0, 0, 0]]))
    both = merge(two, other)
    assert both.n_votes.tolist() == [2]
    assert both.scores.tolist() == [[0.5, 0.5, 0, 0]]
    assert both.candidates.tolist() == [[True, True, True, False]]
    assert names_of(both.annotators) == ["chat: which {}?", "chat: which {}? (choice 2)", "B: 0 {}"]
    assert names_of(other.annotators) == ["0 {}"]


def test_human_labels_are_kept_and_pinned(a, b):
    both = merge(a.with_labels(torch.tensor([3, -1, -1])), b.with_labels(torch.tensor([2, -1, -1])))
    assert both.labels.tolist() == [3, -1, -1, 2]
    assert both.candidates[0].tolist() == [False, False, False, True]
    assert both.candidates[3].tolist() == [False, False, True, False]
    same = merge(a.with_labels(torch.tensor([3, -1, -1])), b.with_labels(torch.tensor([-1, 3, -1])))
    assert same.labels.tolist() == [3, -1, -1, -1]


def test_copies_of_an_image_are_matched_by_name_then_in_order(make_annotations):
    a = of(make_annotations, "A", [[0], [1], [2]], "xyz")
    a = replace(a, sha256=("same", "same", "z"))
    b = of(make_annotations, "B", [[3], [2], [1]], ["y", "elsewhere", "third"])
    b = replace(b, sha256=("same",) * 3)
    both = merge(a, b)
    assert both.file_names == ("x.png", "y.png", "z.png", "third.png")
    assert both.votes.tolist() == [[0, 2], [1, 3], [2, -1], [-1, 1]]


def test_what_is_no_rule_is_formed_by_union(a, b):
    assert merge(replace(a, rule="cleaned on frozen features"), b).rule == "union"
    assert merge(replace(a, rule="topk:2"), b).rule == "topk:2"


def refused(a, b, message):
    with pytest.raises(InputError, match=message) as caught:
        merge(a, b, names=("one.parquet", "two.parquet"))
    assert "\n" not in str(caught.value)


def test_contradictions_are_told(a, b, make_annotations):
    others = replace(b, classes=("class 0", "class 1", "class 2", "cat"))
    refused(a, others, "^one.parquet has the class 'class 3', two.parquet does not; annotate with one list")
    more = replace(b, classes=(*b.classes, "cat"), scores=torch.zeros(3, 5), candidates=torch.zeros(3, 5).bool())
    refused(a, more, "^two.parquet has the class 'cat', one.parquet does not")
    people = a.with_labels(torch.tensor([3, -1, -1])), b.with_labels(torch.tensor([-1, 2, -1]))
    refused(*people, "disagree about x.png, which is 'class 3' in one.parquet and 'class 2' in two.parquet")
    changed = replace(b, file_names=("x.png", "w.png", "z.png"))
    refused(a, changed, "^x.png is one image in one.parquet and another in two.parquet")
    refused(a, of(make_annotations, "A", [[0, 1]], "x"), "A with '1 {}' votes differently on x.png")
    both, other = merge(a, b), of(make_annotations, "D", [[2]], "x")
    refused(both, merge(a, other), "both hold A with '0 {}' and each another annotator of x.png")
