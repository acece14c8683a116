"""Vision-language models of which a small part is learned: prompts, normalizations, low-rank changes, adapters."""

from zerolabel.networks.prompted.encoders import KINDS, OF_CLASSES, TEXTS, Encoders, kinds
from zerolabel.networks.prompted.network import PromptedNetwork, TextSide

__all__ = ["KINDS", "OF_CLASSES", "TEXTS", "Encoders", "PromptedNetwork", "TextSide", "kinds"]
