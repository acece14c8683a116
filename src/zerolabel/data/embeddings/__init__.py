"""Image embeddings that were computed before, read from files without the images."""

from zerolabel.data.embeddings.embeddings import Embeddings, Origin
from zerolabel.data.embeddings.sources import is_embeddings, open_embeddings, split

__all__ = ["Embeddings", "Origin", "is_embeddings", "open_embeddings", "split"]
