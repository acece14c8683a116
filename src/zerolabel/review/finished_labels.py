"""The finished labels of a data set: a person's where there is one, else the prediction, and what may be claimed."""

import pandas as pd

from zerolabel.data.answers import BY_HAND, NONE, PLAIN, UNSURE, consensus
from zerolabel.errors import InputError
from zerolabel.review.questions import Guaranteed
from zerolabel.review.review import Review

COLUMNS = ("file_name", "label", "labeled by", "confidence", "why shown", "inclusion probability", "guarantee")


def finished_labels(review: Review) -> pd.DataFrame:
    """A row per image, with the columns of `COLUMNS`; the guarantee is the same text in every row.

    Raises:
        InputError: a guarantee was not asked for, or not every image that it needs is answered.
    """
    question = review.questions.get("guarantee")
    if not isinstance(question, Guaranteed):
        raise InputError("finished labels need a guarantee; give --max-error, such as 5%.")
    given = review.given("guarantee")
    found = question.findings(given).get("guarantee")
    if found is None:
        raise InputError(f"the guarantee is not complete: {question.standing(given).status}; answer the rest first.")
    claim = f"at most {found['bound']:.2%} of the labels are wrong, with {found['level']:.0%} probability"
    pool, classes = question.pool, review.subject.classes
    by_person = consensus(a for a in review.ledger.answers if question.counts(a.why))
    drawn, chance = set(question.items({})), question.n / max(len(question.places), 1)
    rows = []
    for place, name in enumerate(pool.images.file_names):
        said, predicted = by_person.get(name), int(pool.predicted[place])
        if pool.taught[place] and pool.labels is not None:
            predicted = int(pool.labels[place])
        human = bool(pool.taught[place]) or said not in (None, UNSURE)
        label = classes[predicted] if predicted >= 0 else ""
        label = "" if said == NONE else said if said not in (None, UNSURE) else label
        why = PLAIN if place in drawn else BY_HAND if said is not None else ""
        share = chance if place in drawn else None
        rows.append((name, label, "person" if human else "model", float(pool.confidence[place]), why, share, claim))
    return pd.DataFrame(rows, columns=list(COLUMNS))
