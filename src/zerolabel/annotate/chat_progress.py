"""How far the questions to a chat model are, and what they would take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """How far the questions are.

    Attributes:
        done: images dealt with.
        total: N.
        skipped: unreadable ones so far.
        cached: answers so far that were known from before.
        abstained: how often there was no vote, by reason.
        cost: of the answers so far; None where no price was given.
        seconds: since the start.
    """

    done: int
    total: int
    skipped: int
    cached: int
    abstained: dict[str, int]
    cost: float | None
    seconds: float


@dataclass(frozen=True)
class Preview:
    """What annotation would take.

    Attributes:
        requests: that are not answered yet.
        cached: answers that exist.
        tokens_in: estimate, see `wire.tokens_in`.
        tokens_out: at most.
        cost: at most; None where no price was given.
    """

    requests: int
    cached: int
    tokens_in: int
    tokens_out: int
    cost: float | None
