"""Image embeddings that were computed before, read from files without the images."""

from zerolabel.data.embeddings.embeddings import Embeddings, Origin
from zerolabel.data.embeddings.sources import open_embeddings, split

__all__ = ["Embeddings", "Origin", "open_embeddings", "split"]
