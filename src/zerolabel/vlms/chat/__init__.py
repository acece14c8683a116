"""Chat models as annotators: any server that speaks OpenAI's chat completions, such as vLLM, Ollama or llama.cpp.

The journal version of Co-Reg (arXiv 2506.03229) names LLaVA and GPT-4V as annotators; its recipe was not available, so
the one here is this project's: one prompt is one annotator, its answer is constrained to the class names and "none",
several classes are several votes, and whatever else is said is an abstention that is kept with its reason.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from zerolabel.errors import InputError
from zerolabel.errors.redaction import redacted

TEMPLATES = ("Which of these classes does the picture show? {}",)
"""One prompt, for every prompt is a request for every image; ``{}`` is where the class names go."""
MOST_CLASSES = 200
"""Names that one request lists; of more classes, the other annotators choose `SHORTLIST` for each image."""
SHORTLIST = 20
LARGEST_SIDE = 8192


@dataclass(frozen=True)
class Chat:
    """A model behind an endpoint, and how it is asked.

    Attributes:
        model: its name at the server.
        endpoint: URL up to ``/chat/completions``, such as ``http://localhost:8000/v1``.
        key_variable: environment variable that holds the key; it may be empty where the server wants none.
        side: longest side of the image that is sent, in pixels.
        choices: classes that one answer may name.
        concurrency: requests at a time.
        per_minute: requests a minute; None does not limit them.
        answer_tokens: that an answer may have for each class that it may name; a model that thinks first needs more.
        timeout: seconds until a request is given up.
        retries: further tries after a failure that may pass.
        price_in: of a million tokens sent; None is unknown.
        price_out: of a million tokens received.
        budget: what the answers of one command may cost; None does not limit it.
    """

    model: str
    endpoint: str
    key_variable: str = "OPENAI_API_KEY"
    side: int = 512
    choices: int = 3
    concurrency: int = 8
    per_minute: float | None = None
    answer_tokens: int = 60
    timeout: float = 60.0
    retries: int = 6
    price_in: float | None = None
    price_out: float | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        if not _is_url(self.endpoint):
            raise InputError(f"--endpoint {self.endpoint} is no URL; give one such as http://localhost:8000/v1.")
        for option, value, least in (
            ("--image-side", self.side, 32),
            ("--choices", self.choices, 1),
            ("--concurrency", self.concurrency, 1),
            ("--answer-tokens", self.answer_tokens, 1),
            ("--retries", self.retries, 0),
        ):
            if value < least:
                raise InputError(f"{option} {value} is below {least}; give a larger one.")
        if self.side > LARGEST_SIDE:
            raise InputError(f"--image-side {self.side} is above {LARGEST_SIDE}; give a smaller one.")
        for option, number in (("--rate", self.per_minute), ("--timeout", self.timeout)):
            if number is not None and not 0 < number < math.inf:
                raise InputError(f"{option} {number:g} is not above 0; give a larger number, in digits.")
        for option, number in (
            ("--price-in", self.price_in), ("--price-out", self.price_out), ("--budget", self.budget)
        ):  # fmt: skip
            if number is not None and not 0 <= number < math.inf:
                raise InputError(f"{option} {number:g} is no amount; give a number of at least 0.")
        if self.budget is not None and (self.price_in is None or self.price_out is None):
            raise InputError("--budget needs --price-in and --price-out, the price of a million tokens; give both.")

    @property
    def name(self) -> str:
        """Name of the annotator."""
        return f"chat:{self.model}"

    @property
    def shown(self) -> str:
        """The endpoint without passwords and tokens, for messages and files."""
        return redacted(self.endpoint)

    def url(self, path: str) -> str:
        """URL of a path of the protocol, below that of the endpoint and before its query."""
        parts = urlsplit(self.endpoint)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}", fragment=""))

    @property
    def tokens_out(self) -> int:
        """Tokens that an answer may have."""
        return self.answer_tokens * self.choices

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """Price of so many tokens; None where no price was given."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the key is not in it."""
        return asdict(self)


def _is_url(endpoint: str) -> bool:
    """True for a valid URL of an endpoint."""
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port above 65535
        return False
