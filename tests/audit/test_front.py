import numpy as np
import pytest

from zerolabel import Audit, InputError
from zerolabel.audit.front import agreement


def classifier(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of a fair classifier, votes of three others, and the truth."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, n)
    scores = random.dirichlet(np.ones(4), n) + 1.2 * random.random((n, 1)) * np.eye(4)[truth]
    votes = np.where(random.random((n, 3)) < 0.7, truth[:, None], random.integers(-1, 4, (n, 3)))
    return scores / scores.sum(1, keepdims=True), votes, truth


def test_accuracy_from_asked_images() -> None:
    scores, votes, truth = classifier(500, 0)
    audit = Audit(scores, votes=votes)
    assert len(audit.strata) == 500 and audit.strata.max() > 1
    asked = audit.ask(60)
    audit.answer({image: int(truth[image]) for image in asked})
    found = audit.accuracy()
    assert found.answers == 60 and found.low < (audit.predicted == truth).mean() < found.high
    assert audit.accuracy(looked=True).width > found.width
    assert audit.accuracy(of_class=2).answers < 60
    more = audit.ask(80)
    assert len(more) == 20 and not set(more) & set(asked)


def test_images_that_were_not_drawn_do_not_count() -> None:
    scores, _, truth = classifier(300, 1)
    audit = Audit(scores)
    asked = audit.ask(30)
    audit.answer({image: int(truth[image]) for image in asked})
    before = audit.accuracy()
    hard = [image for image in np.flatnonzero(audit.predicted != truth) if image not in audit.ask(40)][:20]
    audit.answer({int(image): int(truth[image]) for image in hard})
    assert audit.accuracy() == before


def test_compare_guarantee_and_teach() -> None:
    scores, votes, truth = classifier(400, 2)
    audit = Audit(scores, votes=votes)
    worse = np.where(np.random.default_rng(3).random(400) < 0.3, (truth + 1) % 4, audit.predicted)
    while audit.against(worse).better is None:
        audit.answer({image: int(truth[image]) for image in audit.ask_against(worse, 5)})
    assert audit.against(worse).better == "first" and len(audit.answers) < 60
    audit.answer({image: int(truth[image]) for image in audit.ask_uniformly(120)})
    kept = audit.guarantee(0.1)
    assert ((audit.predicted != truth) & ~kept.by_hand).mean() <= 0.1
    features = np.random.default_rng(4).normal(size=(400, 5))
    assert not set(audit.ask_to_teach(features, 10)) & set(audit.answers)


def test_votes_that_abstain_neither_agree_nor_disagree() -> None:
    shares = agreement(np.array([1, 1, 1]), np.array([[1, -1], [1, 0], [-1, -1]]))
    assert shares.tolist() == [1.0, 0.5, 0.0]


def test_an_image_that_is_not_there_is_named() -> None:
    audit = Audit(np.ones((3, 2)) / 2)
    with pytest.raises(InputError, match="no image 3"):
        audit.answer({3: 0})
