"""Requests that are tried again, slowed down, and paid for at most once."""

import email.utils
import json
import math
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)

from zerolabel.errors import InputError
from zerolabel.errors.redaction import secrets, without
from zerolabel.vlms.chat import Chat, protocol
from zerolabel.vlms.chat.protocol import Dialect, Reply, body, reply

LONGEST_WAIT = 600.0
"""Upper limit in seconds for a server's Retry-After."""
LONGEST_BACKOFF = 60.0
"""Upper limit in seconds of the exponential backoff without Retry-After."""
LARGEST = 2**20
"""Maximum size of a reply in bytes."""
GIVE_UP = 20
"""Consecutive requests that fail after all retries, besides concurrent ones; then the server counts as unavailable."""
_TRANSIENT = (408, 409, 425, 429)


class TransientError(Exception):
    """A request failed for a reason that may be temporary; it is retried.

    Args:
        reason: error text.
        wait: seconds of the server's Retry-After.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class RequestRejected(Exception):
    """The server rejected one request; others may succeed."""


class ServerUnavailable(Exception):
    """Every recent request failed after all retries."""


class Client:
    """Thread-safe HTTP client of one chat model.

    Args:
        chat: model and request options. The key is read from its environment variable and kept nowhere else.

    Attributes:
        stopped: set to cancel waits and retries.
        answered: True after the first successful reply.
        failures: consecutive failed requests.

    Raises:
        InputError: the key contains characters that are invalid in a header.
    """

    def __init__(self, chat: Chat) -> None:
        self.chat, self.dialect = chat, Dialect()
        self.stopped, self.answered, self.failures = threading.Event(), False, 0
        self._key = read_key(chat.key_variable)
        self._hidden = tuple(one for one in (self._key, *secrets(chat.endpoint)) if one)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Limits(max_connections=chat.concurrency, max_keepalive_connections=chat.concurrency)
        self.http = httpx.Client(headers=headers, timeout=chat.timeout, limits=limits)
        self.lock, self.free_at = threading.Lock(), 0.0
        self.backoff = wait_random_exponential(multiplier=0.5, max=LONGEST_BACKOFF)

    def ask(self, text: str, url: str, names: Sequence[str]) -> Reply:
        """Send a prompt with an image and return the reply.

        Args:
            text: the prompt.
            url: data URL of the image.
            names: class names allowed in the answer.

        Raises:
            InputError: invalid key, no credit, or unknown model or path.
            RequestRejected: the server rejects this image or prompt.
            TransientError: the request failed after all retries.
            ServerUnavailable: all recent requests failed after all retries.
        """
        tries = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_attempt(self.chat.retries + 1) | stop_when_event_set(self.stopped),
            wait=self.pause,
            sleep=sleep_using_event(self.stopped),
            reraise=True,
        )
        try:
            answer: Reply = tries(self.once, text, url, names)
        except TransientError as error:
            self.failures += 1
            if self.failures >= GIVE_UP + self.chat.concurrency:
                raise ServerUnavailable(str(error)) from None
            raise
        self.answered, self.failures = True, 0
        return answer

    def pause(self, state: RetryCallState) -> float:
        """Seconds until the next retry: the server's Retry-After, otherwise exponential backoff with jitter."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, TransientError) else None
        return self.backoff(state) if asked is None else asked

    def once(self, text: str, url: str, names: Sequence[str]) -> Reply:
        """One attempt; a field that the server does not support is left out from then on."""
        while True:
            self.turn()
            dialect = self.dialect
            answer = self.post(body(self.chat, text, url, names, dialect))
            further = dialect.after(answer.status_code, answer.text)
            if further is None:
                return self.parsed_reply(answer)
            with self.lock:
                self.dialect = further if self.dialect == dialect else self.dialect

    def turn(self) -> None:
        """Wait until the rate limit and the server's Retry-After allow this request."""
        with self.lock:
            now = time.monotonic()
            start = max(self.free_at, now)
            self.free_at = start + (60 / self.chat.per_minute if self.chat.per_minute else 0.0)
        if self.stopped.wait(start - now):
            raise TransientError("the questions were ended")

    def post(self, data: dict[str, Any]) -> httpx.Response:
        """Send a request and read the whole reply within the timeout.

        Raises:
            TransientError: timeout, connection error, or oversized reply.
        """
        end, content = time.monotonic() + self.chat.timeout, bytearray()
        try:
            with self.http.stream("POST", self.chat.url("chat/completions"), json=data) as answer:
                for piece in answer.iter_bytes():
                    content += piece
                    if time.monotonic() > end:
                        raise TransientError(f"no whole answer within {self.chat.timeout:g} s")
                    if len(content) > LARGEST:
                        raise TransientError(f"a reply of more than {LARGEST} bytes")
                kept = {name: answer.headers[name] for name in ("Retry-After", "Location") if name in answer.headers}
                return httpx.Response(answer.status_code, headers=kept, content=bytes(content))
        except httpx.TimeoutException:
            raise TransientError(f"no answer within {self.chat.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise TransientError(f"no connection ({type(error).__name__})") from None

    def parsed_reply(self, answer: httpx.Response) -> Reply:
        """The reply in a response, or the error that its status means."""
        status = answer.status_code
        if (end := self.fatal_error(answer)) is not None:
            raise InputError(end)
        if status in _TRANSIENT or status >= 500:
            wait = retry_after(answer.headers.get("Retry-After"))
            with self.lock:  # all requests wait, not this one alone
                self.free_at = max(self.free_at, time.monotonic() + (wait or 0.0))
            raise TransientError(f"HTTP {status}", wait)
        if status // 100 != 2:
            raise RequestRejected(self.quoted(answer))
        try:
            parsed = reply(answer.json())
        except (ValueError, RecursionError) as error:
            raise TransientError(f"damaged reply: {str(error)[:100]}") from None
        if parsed.is_filtered:
            raise RequestRejected("the server's content filter ended the answer")
        return parsed

    def fatal_error(self, answer: httpx.Response) -> str | None:
        """Why a refusal ends all questions; None where it does not.

        A server that answered before knows model and key: then 403 and 404 are about this one question.
        """
        status, endpoint, where = answer.status_code, self.chat.shown, answer.headers.get("Location")
        if status // 100 == 3:
            where = without(where or "nowhere", self._hidden)
            return f"{endpoint} sends on to {where} (HTTP {status}); give --endpoint that address."
        if status == 402 or (status == 429 and "insufficient_quota" in answer.text):
            return f"{endpoint} wants to be paid first (HTTP {status}); the answers are kept: continue with --resume."
        if status == 401 or (status == 403 and not self.answered):
            return f"{endpoint} refuses the key in ${self.chat.key_variable} (HTTP {status}); set another."
        if status == 404 and not self.answered:
            return (
                f"{endpoint} has no model {self.chat.model!r}, or is no endpoint (HTTP 404); fix --vlm or --endpoint."
            )
        return None

    def quoted(self, answer: httpx.Response) -> str:
        """The beginning of a refusal, without the key and the secrets of the endpoint."""
        return f"HTTP {answer.status_code}: {without(answer.text, self._hidden)[:200]}"

    def reach(self) -> None:
        """Check the connection before the first request.

        Raises:
            InputError: nothing does.
        """
        try:
            self.http.get(self.chat.url("models"), timeout=10)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL):
            where = self.chat.shown
            raise InputError(f"nothing answers at --endpoint {where}; start the server, or fix the URL.") from None
        except httpx.HTTPError:
            return  # it listens; how it answers is seen from the questions

    def declared(self) -> str | None:
        """The version of the model that the server declares, empty where it declares none; None where it is away."""
        try:
            with self.http.stream("GET", self.chat.url("models"), timeout=10) as answer:
                content = bytearray()
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > LARGEST:
                        return ""
            return protocol.declared(json.loads(content), self.chat.model) if answer.status_code == 200 else ""
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol):
            return None
        except (httpx.HTTPError, ValueError, RecursionError):
            return ""

    def close(self) -> None:
        """Close the connections."""
        self.http.close()


def read_key(variable: str) -> str:
    """The key in an environment variable, without spaces and line ends around it; empty where there is none.

    Raises:
        InputError: it holds characters that no header may.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"the key in ${variable} holds characters that no key has; set it again.")
    return key


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
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)
