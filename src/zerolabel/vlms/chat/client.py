"""Requests that are tried again, slowed down, and paid for at most once."""

import email.utils
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from zerolabel.errors import InputError
from zerolabel.vlms.chat import Chat
from zerolabel.vlms.chat.wire import Dialect, Reply, body, reply

LONGEST_WAIT = 60.0
"""Seconds that a server's Retry-After is heeded at most."""
_TRANSIENT = (408, 409, 425, 429)


class Passing(Exception):
    """A failure that may pass: worth another try.

    Args:
        reason: in words.
        wait: seconds that the server asked for.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Refused(Exception):
    """The server will not answer this request."""


class Client:
    """Asks one model, from several threads.

    Args:
        chat: the model and how it is asked. The key is read from its environment variable and kept nowhere else.
    """

    def __init__(self, chat: Chat) -> None:
        self.chat, self.dialect = chat, Dialect()
        self._key = os.environ.get(chat.key_variable, "")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Limits(max_connections=chat.concurrency, max_keepalive_connections=chat.concurrency)
        self.http = httpx.Client(headers=headers, timeout=chat.timeout, limits=limits)
        self.lock, self.free_at = threading.Lock(), 0.0
        self.backoff = wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT)

    def ask(self, text: str, url: str, names: Sequence[str]) -> Reply:
        """The model's answer to a prompt about an image.

        Args:
            text: the prompt.
            url: the image, as data.
            names: classes that the answer may name.

        Raises:
            InputError: the server refuses the key, or knows no such model or path.
            Refused: it refuses this image or prompt.
            Passing: it failed in every try.
        """
        for attempt in Retrying(
            retry=retry_if_exception_type(Passing),
            stop=stop_after_attempt(self.chat.retries + 1),
            wait=self.pause,
            reraise=True,
        ):
            with attempt:
                return self.once(text, url, names)
        raise AssertionError("a try either returns or raises")

    def pause(self, state: RetryCallState) -> float:
        """Seconds to the next try: what the server asked for, else exponential with jitter."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, Passing) else None
        return self.backoff(state) if asked is None else asked

    def once(self, text: str, url: str, names: Sequence[str]) -> Reply:
        """One try; where the server does not understand a field, it is left out from now on."""
        while True:
            self.turn()
            dialect = self.dialect
            answer = self.post(body(self.chat.model, text, url, names, self.chat.choices, dialect))
            if answer.status_code != 400:
                return self.judged(answer)
            further = dialect.after(answer.text)
            if further is None:
                raise Refused(self.quoted(answer))
            with self.lock:
                self.dialect = further if self.dialect == dialect else self.dialect

    def turn(self) -> None:
        """Wait for this request's turn, at most so many a minute."""
        if self.chat.per_minute is None:
            return
        with self.lock:
            now = time.monotonic()
            wait, self.free_at = max(self.free_at - now, 0.0), max(self.free_at, now) + 60 / self.chat.per_minute
        time.sleep(wait)

    def post(self, data: dict[str, Any]) -> httpx.Response:
        """Send a request.

        Raises:
            Passing: no whole answer came in time.
        """
        try:
            return self.http.post(f"{self.chat.endpoint.rstrip('/')}/chat/completions", json=data)
        except httpx.TimeoutException:
            raise Passing(f"no answer within {self.chat.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise Passing(f"no connection ({type(error).__name__})") from None

    def judged(self, answer: httpx.Response) -> Reply:
        """The reply in a response, or the error that its status means."""
        status, endpoint = answer.status_code, self.chat.endpoint
        if status in (401, 403):
            raise InputError(f"{endpoint} refuses the key in ${self.chat.key_variable} (HTTP {status}); set another.")
        if status == 404:
            raise InputError(
                f"{endpoint} has no model {self.chat.model!r}, or is no endpoint (HTTP 404); mend --vlm or --endpoint."
            )
        if status in _TRANSIENT or status >= 500:
            raise Passing(f"HTTP {status}", retry_after(answer.headers.get("Retry-After")))
        if status != 200:
            raise Refused(self.quoted(answer))
        try:
            return reply(answer.json())
        except ValueError as error:
            raise Passing(f"damaged reply: {str(error)[:100]}") from None

    def quoted(self, answer: httpx.Response) -> str:
        """The beginning of a refusal, without the key."""
        text = answer.text.replace(self._key, "***") if self._key else answer.text
        return f"HTTP {answer.status_code}: {text[:200]}"

    def reach(self) -> None:
        """See that something listens, before the first question.

        Raises:
            InputError: nothing does.
        """
        try:
            self.http.get(f"{self.chat.endpoint.rstrip('/')}/models", timeout=10)
        except httpx.ConnectError:
            where = self.chat.endpoint
            raise InputError(f"nothing answers at --endpoint {where}; start the server, or mend the URL.") from None
        except httpx.HTTPError:
            return  # it listens; how it answers is seen from the questions

    def close(self) -> None:
        """Close the connections."""
        self.http.close()


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After asks for, given as seconds or as a date; None where it cannot be read."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (email.utils.parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
