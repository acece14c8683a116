import numpy as np
import pytest

from zerolabel import InputError
from zerolabel.audit import choice
from zerolabel.audit.choice import DESIGNS, Models, Queries, coda, weighted


def pool(accuracies: tuple[float, ...], n: int, seed: int) -> tuple[Models, np.ndarray]:
    """Models that are right that often, and the true classes; hard images are hard for all."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, n)
    hard = random.random(n)
    scores = np.full((len(accuracies), n, 4), 0.05)
    for h, accuracy in enumerate(accuracies):
        noisy = 0.6 * hard + 0.4 * random.random(n)
        right = noisy <= np.quantile(noisy, accuracy)
        predicted = np.where(right, truth, (truth + random.integers(1, 4, n)) % 4)
        scores[h, np.arange(n), predicted] = 0.85
    return Models(scores), truth


def answered(models: Models, truth: np.ndarray, n: int, design: str, seed: int = 0) -> Queries:
    queries, random = Queries.none(), np.random.default_rng(seed)
    for _ in range(n):
        following = choice.ask(models, queries, random, design=design)
        if following is None:
            break
        queries = queries.with_answer(following[0], int(truth[following[0]]), following[1])
    return queries


@pytest.mark.parametrize("design", DESIGNS)
def test_each_design_asks_every_image_once_and_finds_the_best(design: str) -> None:
    models, truth = pool((0.6, 0.8, 0.7), 60, 0)
    queries = answered(models, truth, 100, design)
    assert len(set(queries.images)) == len(queries.images) == (60 if design == "random" else len(models.differing))
    assert list(choice.ranking(models, queries, design=design)) == [1, 2, 0]


def test_weighted_answers_estimate_accuracies_without_bias() -> None:
    models, truth = pool((0.5, 0.8, 0.75, 0.2), 300, 1)
    correct = (models.predicted == truth)[:, models.differing].mean(1)
    estimates = [weighted.estimate(models, answered(models, truth, 25, "weighted", seed)) for seed in range(60)]
    assert np.mean(estimates, 0) == pytest.approx(correct, abs=0.06)


def test_all_answers_give_the_accuracies_themselves() -> None:
    models, truth = pool((0.5, 0.8), 80, 2)
    queries = answered(models, truth, 80, "weighted")
    correct = (models.predicted == truth)[:, models.differing].mean(1)
    assert weighted.estimate(models, queries) == pytest.approx(correct, abs=1e-6)


def test_weighted_chooses_better_than_random() -> None:
    models, truth = pool((0.4, 0.86, 0.84, 0.5, 0.9), 600, 3)
    correct = (models.predicted == truth).mean(1)

    def regret(design: str) -> float:
        chosen = [
            choice.ranking(models, answered(models, truth, 25, design, seed), design=design)[0] for seed in range(20)
        ]
        return float(correct.max() - correct[chosen].mean())

    assert regret("weighted") < regret("random")


def test_coda_starts_from_the_consensus() -> None:
    models, _ = pool((0.9, 0.88, 0.3), 200, 4)
    chances = coda.estimate(models, Queries.none())
    assert chances.sum() == pytest.approx(1) and chances.argmin() == 2


def test_coda_leaves_the_favorite_of_a_wrong_consensus() -> None:
    random = np.random.default_rng(0)
    truth, shared = random.integers(0, 4, 300), random.integers(0, 4, 300)
    predicted = np.stack([np.where(random.random(300) < share, shared, truth) for share in (0.5, 0.55, 0.05)])
    models = Models(0.8 * np.eye(4)[predicted] + 0.05)
    assert coda.estimate(models, Queries.none()).argmax() != 2
    assert coda.estimate(models, answered(models, truth, 20, "coda")).argmax() == 2


def test_answers_of_no_class_and_models_without_an_answer() -> None:
    models, _ = pool((0.7, 0.8), 40, 5)
    scores = models.scores.copy()
    scores[0, :5] = 0
    models = Models(scores)
    assert (models.predicted[0, :5] == choice.NONE).all()
    queries = Queries.none().with_answer(int(models.differing[0]), choice.NONE, 0.1)
    assert not queries.correct(models).any()
    for design in DESIGNS:
        assert choice.ask(models, queries, np.random.default_rng(0), design=design) is not None
        assert np.isfinite(DESIGNS[design].estimate(models, queries)).all()


def test_mistakes_are_named() -> None:
    models, _ = pool((0.7, 0.8), 10, 6)
    with pytest.raises(InputError, match="at least two models"):
        Models(models.scores[:1])
    with pytest.raises(InputError, match="did you mean 'weighted'"):
        choice.ranking(models, Queries.none(), design="weigthed")
    same = Models(np.stack([models.scores[0]] * 2))
    assert choice.ask(same, Queries.none(), np.random.default_rng(0)) is None
