"""Images of which embeddings are all that is there; what reads these, and torch with it, is loaded where needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zerolabel.data.images.decoding import Unreadable
from zerolabel.data.images.stores import Found

if TYPE_CHECKING:
    import zerolabel.data.embeddings

PREFIX = "embeddings:"
PARTS = ("embeddings.json", "img_emb")
"""Contents of a folder that `zerolabel embed` or clip-retrieval wrote."""


def is_embeddings(folder: Path) -> bool:
    """True if `zerolabel embed` or clip-retrieval wrote a folder."""
    record, vectors = PARTS
    return (folder / record).is_file() or (folder / vectors).is_dir()


@dataclass(frozen=True, eq=False)
class Embedded:
    """Rows of embeddings; there are no pixels.

    Attributes:
        embeddings: of all images.
    """

    embeddings: "zerolabel.data.embeddings.Embeddings"

    def read(self, row: int, name: str) -> bytes:
        """See `zerolabel.data.images.stores.Store.read`."""
        raise Unreadable("it is an embedding, without pixels")

    def digest(self, row: int) -> str:
        """The content hash of an image: its own where that is known, else of its vector."""
        digest: bytes = self.embeddings.content[row].tobytes()
        return digest.hex()


def find(source: str) -> Found:
    """The images in embeddings, in their order.

    Args:
        source: what `open_embeddings` takes; text embeddings that are named after an ``@`` are left alone.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    from zerolabel.data.embeddings import open_embeddings, split

    embeddings = open_embeddings(split(source)[0])
    return Found(f"{PREFIX}{source}", embeddings.file_names, Embedded(embeddings))
