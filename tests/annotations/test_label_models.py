"""Label models against crowd-kit and plain loops; estimated noise against noise that is known."""

import builtins
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.label_models import MODELS, annotator_accuracy, posterior
from zerolabel.annotations.label_models import dawid_skene as module
from zerolabel.annotations.label_models.crowd import frame
from zerolabel.annotations.label_models.dawid_skene import dawid_skene
from zerolabel.annotations.label_models.shrunken import shrunken
from zerolabel.annotations.noise import beliefs, candidate_noise, label_noise
from zerolabel.errors import InputError
from zerolabel.evaluation.metrics import accuracy, candidate_coverage, vote_accuracy

Make = Callable[..., Annotations]


def independent(n: int, n_classes: int, accuracies: list[float]) -> tuple[Int[Tensor, "N A"], Int[Tensor, " N"]]:
    truth = torch.randint(n_classes, (n,))
    wrong = (truth[:, None] + torch.randint(1, n_classes, (n, len(accuracies)))) % n_classes
    return torch.where(torch.rand(wrong.shape) < torch.tensor(accuracies), truth[:, None], wrong), truth


def prompts_of_one_model(
    n: int, n_classes: int, annotators: int, sharpness: float = 1.0
) -> tuple[Float[Tensor, "N A C"], Int[Tensor, " N"]]:
    """Probabilities that are right as often as they say at sharpness 1, and disturbed a little by each prompt."""
    p = torch.distributions.Dirichlet(torch.full((n_classes,), 0.6 / n_classes)).sample((n,))
    noise = 0.5 * torch.randn(n, annotators, n_classes)
    return (sharpness * p.clamp_min(1e-6).log()[:, None] + noise).softmax(2), p.multinomial(1)[:, 0]


def loops(votes: list[list[int]], n_classes: int, steps: int, smoothing: float) -> list[list[float]]:
    """Dawid-Skene as its equations read."""
    classes, annotators = range(n_classes), range(len(votes[0]))
    q = [[sum(v == c for v in row) / sum(v >= 0 for v in row) for c in classes] for row in votes]
    for _ in range(steps):
        prior = [sum(row[c] for row in q) / len(q) for c in classes]
        rates = {}
        for a in annotators:
            for c in classes:
                counts = [
                    sum(q[i][c] for i, row in enumerate(votes) if row[a] == v) + smoothing / n_classes for v in classes
                ]
                for v in classes:
                    rates[a, v, c] = counts[v] / sum(counts)
        for i, row in enumerate(votes):
            new = list(prior)
            for c in classes:
                for a in annotators:
                    new[c] *= rates[a, row[a], c] if row[a] >= 0 else 1.0
            q[i] = [value / sum(new) for value in new]
    return q


def test_dawid_skene_is_its_equations() -> None:
    votes, _ = independent(60, 3, [0.9, 0.7, 0.6, 0.8])
    votes[torch.rand(votes.shape) < 0.1] = -1
    votes = votes[(votes >= 0).any(1)]
    found = dawid_skene(votes, 3, most_steps=4, tolerance=0.0, smoothing=0.3).posterior
    assert torch.allclose(found, torch.tensor(loops(votes.tolist(), 3, 4, 0.3)), atol=1e-4)


@pytest.mark.parametrize(("ours", "theirs"), [("dawid_skene", "DawidSkene"), ("one_coin", "OneCoinDawidSkene")])
def test_agrees_with_crowd_kit(make_annotations: Make, ours: str, theirs: str) -> None:
    from crowdkit import aggregation

    votes, _ = independent(400, 5, [0.9, 0.5, 0.7, 0.6, 0.8])
    votes[torch.rand(votes.shape) < 0.1] = -1
    votes = votes[(votes >= 0).any(1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = getattr(aggregation, theirs)(n_iter=200, tol=1e-9).fit_predict_proba(frame(votes))
    reference = torch.tensor(p.sort_index().sort_index(axis=1).to_numpy(), dtype=torch.float32)
    found = posterior(make_annotations(votes, 5), ours)
    assert torch.equal(found.argmax(1), reference.argmax(1))
    assert float((found - reference).abs().mean()) < 0.005


@pytest.mark.parametrize("model", MODELS)
def test_every_model_beats_its_mean_annotator_and_knows_who_is_good(make_annotations: Make, model: str) -> None:
    votes, truth = independent(150, 4, [0.9, 0.75, 0.6, 0.4])
    votes[0] = -1
    labels = torch.full((150,), -1)
    labels[1] = truth[1]
    q = posterior(make_annotations(votes, 4, labels=labels), model)
    assert bool((q[0] == 0).all())
    assert q[1].tolist() == torch.nn.functional.one_hot(truth[1], 4).tolist()
    assert torch.allclose(q[1:].sum(1), torch.ones(149))
    assert accuracy(q.argmax(1), truth) > float(vote_accuracy(votes, truth).mean())
    quality = annotator_accuracy(votes, q)
    assert quality.argsort(descending=True).tolist() == [0, 1, 2, 3]


def test_accuracies_are_recovered(make_annotations: Make) -> None:
    told = [0.95, 0.8, 0.7, 0.6, 0.5]
    votes, _ = independent(3000, 6, told)
    quality = annotator_accuracy(votes, posterior(make_annotations(votes, 6)))
    assert torch.allclose(quality, torch.tensor(told), atol=0.03)


def test_human_labels_teach_which_annotator_to_trust(make_annotations: Make) -> None:
    votes, truth = independent(300, 3, [0.9, 0.2, 0.2])
    labels = torch.where(torch.arange(300) < 60, truth, -1)
    blind, told = posterior(make_annotations(votes, 3)), posterior(make_annotations(votes, 3, labels=labels))
    assert accuracy(told.argmax(1)[60:], truth[60:]) > accuracy(blind.argmax(1)[60:], truth[60:])


def test_permuting_classes_permutes_the_posterior(make_annotations: Make) -> None:
    votes, _ = independent(200, 4, [0.9, 0.6, 0.6])
    order = torch.tensor([2, 0, 3, 1])
    q, permuted = posterior(make_annotations(votes, 4)), posterior(make_annotations(order[votes], 4))
    assert torch.allclose(permuted[:, order], q, atol=1e-4)


def test_shrunken_rows_hold_where_most_images_are_of_one_class(make_annotations: Make) -> None:
    n, n_classes = 900, 8
    truth = torch.where(torch.rand(n) < 0.7, 0, torch.randint(1, n_classes, (n,)))
    shared = torch.where(torch.rand(n) < 0.25, torch.randint(n_classes, (n,)), truth)  # errors that most have in common
    votes = torch.stack([torch.where(torch.rand(n) < 0.8, shared, torch.randint(n_classes, (n,))) for _ in range(5)], 1)
    right = {model: accuracy(posterior(make_annotations(votes, n_classes), model).argmax(1), truth) for model in MODELS
             if model in ("majority", "dawid_skene", "shrunken")}  # fmt: skip
    assert right["shrunken"] >= max(right["majority"], right["dawid_skene"])


def test_without_shrinking_and_dependence_it_is_dawid_skene() -> None:
    votes, _ = independent(2000, 3, [0.9, 0.7, 0.8, 0.6])
    ours, plain = shrunken(votes, 3, shrink=0.0).posterior, dawid_skene(votes, 3, smoothing=0.0).posterior
    assert float((ours.argmax(1) == plain.argmax(1)).float().mean()) > 0.99


def test_two_that_disagree_are_believed_alike(make_annotations: Make) -> None:
    votes = torch.arange(300)[:, None].repeat(1, 2) % 3
    votes[::5, 1] = (votes[::5, 1] + 1) % 3
    q = posterior(make_annotations(votes, 3))[votes[:, 0] != votes[:, 1]]
    assert float(q.amax(1).max()) < 0.6


def test_votes_of_one_voter_many_times_count_less(make_annotations: Make) -> None:
    votes, _ = independent(400, 4, [0.7, 0.7, 0.7])
    often = make_annotations(votes.repeat_interleave(6, dim=1), 4)
    ours, independently = (float((1 - posterior(often, name).amax(1)).mean()) for name in ("shrunken", "one_coin"))
    assert ours > 10 * independently


def test_too_many_cells_give_way_to_one_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    votes, _ = independent(200, 4, [0.9, 0.6, 0.6])
    coin = dawid_skene(votes, 4, one_coin=True).posterior
    assert not torch.equal(dawid_skene(votes, 4).posterior, coin)
    monkeypatch.setattr(module, "MOST_CELLS", 10)
    assert torch.equal(dawid_skene(votes, 4).posterior, coin)


def test_an_unknown_model_is_named(make_annotations: Make) -> None:
    with pytest.raises(InputError, match="did you mean 'dawid_skene'"):
        posterior(make_annotations(torch.zeros(2, 1).long(), 2), "dawid_scene")


def test_crowd_kit_is_asked_for_where_it_is_missing(make_annotations: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: object, **more: object) -> object:
        if name.startswith("crowdkit"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "crowdkit", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"zerolabel-vision\[crowd\]"):
        posterior(make_annotations(torch.zeros(2, 1).long(), 2), "glad")


@pytest.mark.parametrize("accuracies", [[0.6] * 8, [0.9, 0.8, 0.7], [0.95, 0.9, 0.3, 0.3, 0.8]])
def test_noise_of_annotators_that_err_independently(make_annotations: Make, accuracies: list[float]) -> None:
    votes, truth = independent(3000, 5, accuracies)
    annotations = make_annotations(votes, 5)
    wrong = 1 - accuracy(annotations.scores.argmax(1), truth)
    missed = 1 - candidate_coverage(annotations.candidates, truth)
    assert abs(label_noise(annotations) - wrong) < 0.06
    assert abs(candidate_noise(annotations) - missed) < 0.03


@pytest.mark.parametrize("annotators", [1, 2, 8])
def test_noise_of_prompts_that_err_together(make_annotations: Make, annotators: int) -> None:
    p, truth = prompts_of_one_model(3000, 10, annotators)
    annotations = make_annotations(p.argmax(2), 10, scores=p.mean(1))
    wrong = 1 - accuracy(annotations.scores.argmax(1), truth)
    missed = 1 - candidate_coverage(annotations.candidates, truth)
    assert wrong > 0.15
    assert abs(label_noise(annotations) - wrong) < 0.04
    assert abs(candidate_noise(annotations) - missed) < 0.04
    if annotators > 2:
        believed = beliefs(annotations)
        alone = 1 - float(believed.independent.gather(1, annotations.scores[believed.rows].argmax(1)[:, None]).mean())
        assert believed.dependence > 0.3 and alone < wrong / 2


def test_human_labels_correct_a_model_that_is_too_sure(make_annotations: Make) -> None:
    p, truth = prompts_of_one_model(3000, 10, 8, sharpness=3.0)
    annotations = make_annotations(p.argmax(2), 10, scores=p.mean(1))
    wrong = 1 - accuracy(annotations.scores.argmax(1), truth)
    missed = 1 - candidate_coverage(annotations.candidates, truth)
    told = annotations.with_labels(torch.where(torch.arange(3000) < 300, truth, -1))
    assert label_noise(annotations) < wrong - 0.07
    assert abs(label_noise(told) / 0.9 - wrong) < 0.05
    assert abs(candidate_noise(told) / 0.9 - missed) < 0.05


@pytest.mark.parametrize(
    "votes",
    [
        torch.zeros(0, 3),
        torch.zeros(5, 0),
        torch.full((5, 3), -1),
        torch.zeros(5, 1),
        torch.zeros(5, 4),
        torch.tensor([[0, 1], [1, 0]]),
        torch.tensor([[-1, 1], [-1, -1], [2, -1]]),
    ],
    ids=["no image", "no annotator", "nobody spoke", "one annotator", "all agree", "none agree", "many abstain"],
)
@pytest.mark.parametrize("labeled", [False, True])
def test_noise_is_a_share_whatever_was_said(make_annotations: Make, votes: Tensor, labeled: bool) -> None:
    annotations = make_annotations(votes.long(), 3)
    if labeled:
        annotations = annotations.with_labels(torch.where(torch.arange(len(votes)) == 0, 1, -1))
    for estimate in (candidate_noise, label_noise):
        assert 0 <= estimate(annotations) < 1


def test_candidate_noise_follows_the_rule(make_annotations: Make) -> None:
    p, truth = prompts_of_one_model(2000, 10, 4)
    annotations = make_annotations(p.argmax(2), 10, scores=p.mean(1))
    wide = annotations.with_candidates(torch.ones(2000, 10, dtype=torch.bool), "soft")
    assert candidate_noise(wide) == 0
    narrow = annotations.with_candidates(torch.nn.functional.one_hot(annotations.scores.argmax(1), 10).bool(), "topk:1")
    assert candidate_noise(narrow) == pytest.approx(label_noise(narrow))
    named = narrow.with_labels(torch.where(torch.arange(2000) < 100, truth, -1))
    unknown = named.with_candidates(named.candidates, "made elsewhere")
    assert 0 < candidate_noise(unknown) < 1


def test_digits(annotated_digits: Any) -> None:
    annotations, truth = annotated_digits.annotations, annotated_digits.truth
    wrong = 1 - accuracy(annotations.scores.argmax(1), truth)
    missed = 1 - candidate_coverage(annotations.candidates, truth)
    assert abs(label_noise(annotations) - wrong) < 0.02
    assert abs(candidate_noise(annotations) - missed) < 0.02
    top = accuracy(posterior(annotations).argmax(1), truth)
    assert top >= float(vote_accuracy(annotations.votes, truth).mean())
