"""What the annotators' agreement says of them and of their labels, without a true label.

An annotator is modelled by its confusion matrix and a prediction by Bayes' rule: Dawid, Skene. Maximum Likelihood
Estimation of Observer Error-Rates Using the EM Algorithm. Applied Statistics 28, 1979.
"""

from zerolabel.annotations import Annotations


def candidate_noise(annotations: Annotations) -> float:
    """Estimated share of the annotated images whose candidate set misses the true class, in [0, 1)."""
    return label_noise(annotations)


def label_noise(annotations: Annotations) -> float:
    """Estimated share of the annotated images whose best-scored class is not the true one, in [0, 1)."""
    spoken = annotations.scores.any(1)
    return float(1 - annotations.scores[spoken].amax(1).mean()) if bool(spoken.any()) else 0.0
