"""What the answers cost so far, and a stop before the budget is exceeded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zerolabel.vlms.chat import Chat
from zerolabel.vlms.chat.protocol import Reply


class Spent(Exception):
    """The next request could exceed the budget."""


class Bill:
    """One request's: what it took, once that is known.

    Attributes:
        tokens: sent and received; the estimate until then.
    """

    def __init__(self, tokens: tuple[int, int]) -> None:
        self.tokens = tokens

    def settle(self, reply: Reply) -> None:
        """Put the server's count in place of the estimate, where it counts."""
        if reply.tokens_in or reply.tokens_out:
            self.tokens = reply.tokens_in, reply.tokens_out


class Purse:
    """Adds up what requests cost; several threads pay from it.

    Args:
        chat: gives the prices and the budget.
    """

    def __init__(self, chat: Chat) -> None:
        self.chat, self.lock = chat, threading.Lock()
        self.spent = self.reserved = 0.0

    @property
    def cost(self) -> float | None:
        """Of all answers so far; None where no price was given."""
        return None if self.chat.price_in is None else self.spent

    @contextmanager
    def paying(self, tokens_in: int, tokens_out: int) -> Iterator[Bill]:
        """Reserve what a request can cost at most, and pay what it did; a request that failed costs nothing.

        Raises:
            Spent: the budget does not reach.
        """
        bill = Bill((tokens_in, tokens_out))
        reserve = self.chat.cost(*bill.tokens) or 0.0
        with self.lock:
            if self.chat.budget is not None and self.spent + self.reserved + reserve > self.chat.budget:
                raise Spent
            self.reserved += reserve
        paid = 0.0
        try:
            yield bill
            paid = self.chat.cost(*bill.tokens) or 0.0
        finally:
            with self.lock:
                self.reserved -= reserve
                self.spent += paid
