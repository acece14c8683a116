"""Votes, scores and candidate sets: plain data between the annotation stage and everything after it."""

from zerolabel.annotations.annotations import Annotations, Annotator, names_of
from zerolabel.annotations.candidates import parse_rule

__all__ = ["Annotations", "Annotator", "names_of", "parse_rule"]
