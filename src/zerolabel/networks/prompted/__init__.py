"""Vision-language models of which a small part is learnt: prompts, normalisations, low-rank changes, adapters."""

from zerolabel.networks.prompted.encoders import KINDS, Encoders, kinds
from zerolabel.networks.prompted.network import PromptedNetwork

__all__ = ["KINDS", "Encoders", "PromptedNetwork", "kinds"]
