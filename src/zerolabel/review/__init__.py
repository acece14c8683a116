"""People look at a few images, and the figures, the next training and the report follow."""

from zerolabel.review.pool import Pool, Subject
from zerolabel.review.recording import finish, remember
from zerolabel.review.review import Review
from zerolabel.review.sources import open_subject
from zerolabel.review.static import write_pages

__all__ = ["Pool", "Review", "Subject", "finish", "open_subject", "remember", "write_pages"]
