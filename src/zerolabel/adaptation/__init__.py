"""A small part of a vision-language model is learned on unlabeled images, checked without labels, and written."""

from zerolabel.adaptation.adapt import Adapted, adapt
from zerolabel.adaptation.checks import Check, check
from zerolabel.adaptation.deployment import classifier
from zerolabel.adaptation.methods import METHODS, SUPERVISED, Request

__all__ = ["METHODS", "SUPERVISED", "Adapted", "Check", "Request", "adapt", "check", "classifier"]
