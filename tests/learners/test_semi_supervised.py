"""FixMatch and FlexMatch on candidate sets, against loops written from their equations."""

from dataclasses import replace
from math import log

import pytest
import torch
from stepping import batch_of, human_of, learner_of, softmax
from torch import Tensor

from zerolabel.blocks import targets
from zerolabel.data.views import Features
from zerolabel.errors import InputError
from zerolabel.learners import Learner
from zerolabel.learners.base import Batch, Epoch, Pass
from zerolabel.learners.fixmatch import FixMatch
from zerolabel.learners.flexmatch import FlexMatch
from zerolabel.training import train
from zerolabel.training.settings import Settings

BOTH = pytest.mark.parametrize("kind", [FixMatch, FlexMatch])


def only_pass(learner: Learner) -> Pass:
    (one,) = learner.passes(Epoch(0, 0.0, lambda _: torch.zeros(0, 0)))
    return one


def groups(learner: Learner) -> tuple[list[int], list[int]]:
    """The unlabeled and the labeled images of a pass in which the unlabeled lead."""
    rest, own = only_pass(learner).groups
    return rest.tolist(), own.tolist()


def with_sets(world, sets: dict[int, list[int]], of_the_rest: list[int]):  # type: ignore[no-untyped-def]
    """The same world with these candidate sets."""
    candidates = torch.zeros_like(world.annotations.candidates)
    for i in range(len(candidates)):
        candidates[i, sets.get(i, of_the_rest)] = True
    return replace(world, annotations=world.annotations.with_candidates(candidates, "made up"))


@BOTH
def test_labeled_are_a_persons_and_lonely_candidates_of_other_classes(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    made = with_sets(world, {0: [0], 1: [1], 2: [2], 3: [0], 4: []}, [0, 1])
    rest, own = groups(learner_of(kind, made, human_of(world, at9=0), ratio=1e9))
    assert sorted(own) == [1, 2, 9]  # class 0 has a person's label, so that 0 and 3 are not believed
    assert sorted(rest) == [i for i in range(len(world.truth)) if i not in own]
    rest, own = groups(learner_of(kind, made, ratio=1e9))
    assert sorted(own) == [0, 1, 2, 3]


@BOTH
def test_without_any_labeled_image_the_sets_are_learned_from(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    made = with_sets(world, {4: []}, [0, 1])
    n = len(world.truth)
    rest, own = groups(learner_of(kind, made))
    assert sorted(rest) == list(range(n)) and set(own) == set(range(n)) - {4}


@BOTH
def test_labeled_images_are_drawn_by_the_ratio_and_each_at_least_once(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    made = with_sets(world, {}, [0, 1])
    some = {f"at{i}": i % 4 for i in range(8)}
    for ratio, times in ((1e9, 1), (7.0, 5), (1.0, 29)):  # 232 / 7 = 33.1 of 8 images
        rest, own = groups(learner_of(kind, made, human_of(world, **some), ratio=ratio))
        assert len(rest) == 232 and sorted(own) == sorted([*range(8)] * times)
    many = {f"at{i}": i % 4 for i in range(200)}
    one = only_pass(learner_of(kind, made, human_of(world, **many)))
    assert not one.restart and [len(group) for group in one.groups] == [200, 40]


@BOTH
def test_a_ratio_that_cannot_be(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="ratio"):
        learner_of(kind, world, ratio=0.0)


def batches(world) -> tuple[Batch, Batch]:  # type: ignore[no-untyped-def]
    own, rest = batch_of(world, 0, 1, views=2), batch_of(world, 2, 3, 4, 5, views=2)
    return own, rest


def sure(learner: Learner, x: Tensor, allowed: list[int]) -> tuple[int, float]:
    p = softmax(learner.network, x)
    c = max(allowed, key=lambda j: float(p[j]))
    return c, float(p[c])


@BOTH
def test_steps_against_the_loop(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    sets = {0: [1], 1: [2], 2: [0, 1], 3: [2], 4: [], 5: [1, 3]}
    made = with_sets(world, sets, [0, 1])
    learner = learner_of(kind, made, threshold=0.3, unlabeled_weight=2.0)
    own, rest = batches(world)
    if kind is FlexMatch:
        learner.last[10:20], learner.last[20:26] = 0, 1
        learner.last[26:200] = 3
    thresholds = [0.3] * 4
    if kind is FlexMatch:
        counts = [sum(int(learner.last[i]) == c for i in range(240)) for c in range(4)]
        unsure = sum(int(learner.last[i]) < 0 for i in groups(learner)[0])
        beta = [count / max(*counts, unsure) for count in counts]
        thresholds = [0.3 * b / (2 - b) for b in beta]
        assert 0 < thresholds[0] < thresholds[3] == 0.3 and thresholds[2] == 0
    supervised = -sum(log(float(softmax(learner.network, x)[c])) for x, c in zip(own.views[0], (1, 2), strict=True)) / 2
    unlabeled, last = 0.0, learner.last.clone() if kind is FlexMatch else None
    kept = 0
    for i, weak, strong in zip(rest.index.tolist(), *rest.views, strict=True):
        c, p = sure(learner, weak, sets[i] or [0, 1, 2, 3])
        if p > thresholds[c]:
            unlabeled -= 2 * log(float(softmax(learner.network, strong)[c])) / 4
            kept += 1
        if last is not None and p >= 0.3:
            last[i] = c
    assert 0 < kept < 4 or kind is FlexMatch
    terms = learner.training_step(own, rest)
    assert terms["supervised"].item() == pytest.approx(supervised, rel=1e-4)
    assert terms["unlabeled"].item() == pytest.approx(unlabeled, rel=1e-4)
    if last is not None:
        assert torch.equal(learner.last, last) and not torch.equal(last[2:6], torch.full((4,), -1))


def test_flexmatch_begins_with_thresholds_of_zero_and_ends_with_the_highest(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(FlexMatch, with_sets(world, {0: [0]}, [0, 1]))
    assert learner.thresholds().tolist() == [0, 0, 0, 0]
    learner.last[1:] = torch.arange(239) % 4
    assert learner.thresholds().max() == pytest.approx(0.95) and learner.thresholds().min() > 0.9


def test_a_guess_is_the_best_candidate_with_the_networks_own_probability() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    candidates = torch.tensor([[False, True, True], [True, True, False], [False, False, False]])
    values, classes = targets.best_candidate(p, candidates)
    assert classes.tolist() == [1, 0, 2]
    torch.testing.assert_close(values, torch.tensor([0.2, 0.7, 0.7]))


@BOTH
def test_the_other_images_help_where_few_are_labeled(kind: type[Learner], make_world) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(2)
    world = make_world(n=400, dimension=24, annotators=2, accuracy=0.5)
    human = torch.full((400,), -1)
    human[:8] = world.truth[:8]
    both = replace(world, annotations=world.annotations.with_candidates(torch.ones(400, 4, dtype=torch.bool), "soft"))
    found = {}
    for weight in (0.0, 1.0):
        learner = learner_of(kind, both, human, unlabeled_weight=weight)
        settings = Settings(epochs=30, batch_size=64, lr=0.05, precision="float32", device="cpu", seed=1)
        list(train(learner, Features(world.features), settings))
        with torch.no_grad():
            found[weight] = float((learner.eval().network(world.features).argmax(1) == world.truth).float().mean())
    assert found[1.0] > found[0.0] + 0.02
