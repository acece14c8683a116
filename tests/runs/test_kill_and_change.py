"""A killed command that goes on after its data was changed ends as a fresh one would, or is refused in a sentence."""

import random
import shutil

import pytest
from kill_and_change import CHANGES, COMMANDS, here, kill_and_change, write_data

from zerolabel.annotations import Annotations

KINDS = tuple(COMMANDS)
QUICK = ("run", "train", "annotate")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("kill") / "data"
    write_data(place)
    for kind, folder in (("annotate", "said"), ("run", "run")):
        assert here(place, *COMMANDS[kind].said, "-o", folder)[0] == 0
    said = Annotations.load(place / "said" / "annotations.parquet")
    flipped = said.with_scores(said.scores.flip(0))
    flipped.save(place / "said" / "other0.parquet")
    said.with_candidates(said.candidates.roll(1, 1), "rolled").save(place / "said" / "other1.parquet")
    return place


def kill_some(data, place, pick, kinds, changes):
    outcomes = []
    for number, (kind, change) in enumerate(zip(kinds, changes, strict=True)):
        outcomes.append(kill_and_change(data, place / str(number), kind, change, pick))
        shutil.rmtree(place / str(number))
    return outcomes


def test_a_few_kills(data, tmp_path):
    changes = ("one more, one less", "annotations replaced", "none")
    outcomes = kill_some(data, tmp_path, random.Random(1), QUICK, changes)
    assert [one for one in outcomes if not one.fine] == []
    assert any(one.same for one in outcomes)


@pytest.mark.slow
def test_sixty_kills(data, tmp_path):
    pick = random.Random(0)
    kinds = [KINDS[i % len(KINDS)] for i in range(60)]
    changes = [pick.choice(tuple(CHANGES)) for _ in kinds]
    outcomes = kill_some(data, tmp_path, pick, kinds, changes)
    assert [one for one in outcomes if not one.fine] == []
    assert sum(one.same is True for one in outcomes) > 10
