"""Images, a vision-language model and prompts in; votes, scores and candidate label sets out."""

from zerolabel.annotate.embedding import Embedding, Step, embed
from zerolabel.annotate.run import Annotated, annotate
from zerolabel.annotate.text_features import score, text_features
from zerolabel.annotate.writing import Written, write

__all__ = ["Annotated", "Embedding", "Step", "Written", "annotate", "embed", "score", "text_features", "write"]
