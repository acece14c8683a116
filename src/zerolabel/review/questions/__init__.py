"""Questions of a review beside the accuracy: one file each, behind one interface."""

from zerolabel.review.questions.choose import Choose
from zerolabel.review.questions.guarantee import Guaranteed
from zerolabel.review.questions.question import Question, Standing, given_to
from zerolabel.review.questions.teach import Teach
from zerolabel.review.questions.unknown import Unknown

__all__ = ["Choose", "Guaranteed", "Question", "Standing", "Teach", "Unknown", "given_to"]
