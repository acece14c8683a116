"""Cost of chat requests so far; a request that could exceed the budget is not sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zerolabel.vlms.chat import Chat
from zerolabel.vlms.chat.protocol import Reply


class BudgetExceeded(Exception):
    """The next request could exceed the budget."""


class Reservation:
    """Tokens reserved for one request, replaced by its usage once the server reports it.

    Attributes:
        tokens: input and output tokens; the estimate until the reply arrives.
    """

    def __init__(self, tokens: tuple[int, int]) -> None:
        self.tokens = tokens

    def record(self, reply: Reply) -> None:
        """Replace the estimate by the usage in the reply, if it has any."""
        if reply.tokens_in or reply.tokens_out:
            self.tokens = reply.tokens_in, reply.tokens_out


class Budget:
    """Total cost of requests, shared by threads.

    Args:
        chat: the prices and the budget.
    """

    def __init__(self, chat: Chat) -> None:
        self.chat, self.lock = chat, threading.Lock()
        self.spent = self.reserved = 0.0

    @property
    def cost(self) -> float | None:
        """Cost of all answers so far; None without a price."""
        return None if self.chat.price_in is None else self.spent

    @contextmanager
    def reserve(self, tokens_in: int, tokens_out: int) -> Iterator[Reservation]:
        """Reserve the maximum cost of a request, then add its actual cost; a failed request costs nothing.

        Raises:
            BudgetExceeded: the request could exceed the budget.
        """
        reservation = Reservation((tokens_in, tokens_out))
        maximum = self.chat.cost(*reservation.tokens) or 0.0
        with self.lock:
            if self.chat.budget is not None and self.spent + self.reserved + maximum > self.chat.budget:
                raise BudgetExceeded
            self.reserved += maximum
        paid = 0.0
        try:
            yield reservation
            paid = self.chat.cost(*reservation.tokens) or 0.0
        finally:
            with self.lock:
                self.reserved -= maximum
                self.spent += paid
