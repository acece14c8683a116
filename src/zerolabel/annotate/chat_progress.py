"""Progress of chat annotation, and its estimated cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatProgress:
    """Progress of chat annotation.

    Attributes:
        done: images processed.
        total: number of images N.
        skipped: unreadable images so far.
        cached: answers taken from the cache.
        abstained: number of abstentions by reason.
        cost: cost so far; None without a price.
        seconds: elapsed time.
    """

    done: int
    total: int
    skipped: int
    cached: int
    abstained: dict[str, int]
    cost: float | None
    seconds: float


@dataclass(frozen=True)
class CostPreview:
    """Estimated requests, tokens and cost of chat annotation.

    Attributes:
        requests: number of requests to send.
        cached: number of cached answers.
        tokens_in: estimated input tokens, see `protocol.tokens_in`.
        tokens_out: maximum output tokens.
        cost: maximum cost; None without a price.
    """

    requests: int
    cached: int
    tokens_in: int
    tokens_out: int
    cost: float | None
