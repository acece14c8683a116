"""Views of images: what the network sees when it predicts (eval) and when it learns (weak, strong)."""

from zerolabel.views.preprocess import Preprocess
from zerolabel.views.sources import VIEWS, Features, Pixels

__all__ = ["VIEWS", "Features", "Pixels", "Preprocess"]
