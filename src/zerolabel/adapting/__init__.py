"""A small part of a vision-language model is learnt on unlabelled images, checked without labels, and written."""

from zerolabel.adapting.checking import Check, check
from zerolabel.adapting.deploying import classifier
from zerolabel.adapting.methods import METHODS, SUPERVISED, Request
from zerolabel.adapting.run import Adapted, adapt

__all__ = ["METHODS", "SUPERVISED", "Adapted", "Check", "Request", "adapt", "check", "classifier"]
