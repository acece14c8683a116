"""Views of images: what the network sees when it predicts (eval) and when it learns (weak, strong)."""

from zerolabel.data.views.preprocess import Preprocess
from zerolabel.data.views.sources import STRONG, VIEWS, Features, Pixels

__all__ = ["STRONG", "VIEWS", "Features", "Pixels", "Preprocess"]
