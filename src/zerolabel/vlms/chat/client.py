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
"""Seconds that a server's Retry-After is heeded at most."""
LONGEST_BACKOFF = 60.0
"""Seconds between two tries where the server asks for none."""
LARGEST = 2**20
"""Bytes of the largest reply that is read."""
GIVE_UP = 20
"""Questions in a row that fail in every try, beside those under way, after which the server counts as gone."""
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


class Gone(Exception):
    """The server stopped answering."""


class Client:
    """Asks one model, from several threads.

    Args:
        chat: the model and how it is asked. The key is read from its environment variable and kept nowhere else.

    Attributes:
        stopped: once set, nothing is waited for or tried again.
        answered: whether there was an answer yet.
        failures: questions that failed since the last answer.

    Raises:
        InputError: the key holds characters that no header may.
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
        """The model's answer to a prompt about an image.

        Args:
            text: the prompt.
            url: the image, as data.
            names: classes that the answer may name.

        Raises:
            InputError: the server refuses the key, wants money, or knows no such model or path.
            Refused: it refuses this image or prompt.
            Passing: it failed in every try.
            Gone: it failed in every try of the last questions.
        """
        tries = Retrying(
            retry=retry_if_exception_type(Passing),
            stop=stop_after_attempt(self.chat.retries + 1) | stop_when_event_set(self.stopped),
            wait=self.pause,
            sleep=sleep_using_event(self.stopped),
            reraise=True,
        )
        try:
            answer: Reply = tries(self.once, text, url, names)
        except Passing as error:
            self.failures += 1
            if self.failures >= GIVE_UP + self.chat.concurrency:
                raise Gone(str(error)) from None
            raise
        self.answered, self.failures = True, 0
        return answer

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
            answer = self.post(body(self.chat, text, url, names, dialect))
            further = dialect.after(answer.status_code, answer.text)
            if further is None:
                return self.judged(answer)
            with self.lock:
                self.dialect = further if self.dialect == dialect else self.dialect

    def turn(self) -> None:
        """Wait for this request's turn: at most so many a minute, and none while the server asked for a pause."""
        with self.lock:
            now = time.monotonic()
            start = max(self.free_at, now)
            self.free_at = start + (60 / self.chat.per_minute if self.chat.per_minute else 0.0)
        if self.stopped.wait(start - now):
            raise Passing("the questions were ended")

    def post(self, data: dict[str, Any]) -> httpx.Response:
        """Send a request, and read the whole reply before the time is over.

        Raises:
            Passing: no whole reply came in time, or it has no end.
        """
        end, content = time.monotonic() + self.chat.timeout, bytearray()
        try:
            with self.http.stream("POST", self.chat.url("chat/completions"), json=data) as answer:
                for piece in answer.iter_bytes():
                    content += piece
                    if time.monotonic() > end:
                        raise Passing(f"no whole answer within {self.chat.timeout:g} s")
                    if len(content) > LARGEST:
                        raise Passing(f"a reply of more than {LARGEST} bytes")
                kept = {name: answer.headers[name] for name in ("Retry-After", "Location") if name in answer.headers}
                return httpx.Response(answer.status_code, headers=kept, content=bytes(content))
        except httpx.TimeoutException:
            raise Passing(f"no answer within {self.chat.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise Passing(f"no connection ({type(error).__name__})") from None

    def judged(self, answer: httpx.Response) -> Reply:
        """The reply in a response, or the error that its status means."""
        status = answer.status_code
        if (end := self.the_end(answer)) is not None:
            raise InputError(end)
        if status in _TRANSIENT or status >= 500:
            wait = retry_after(answer.headers.get("Retry-After"))
            with self.lock:  # all requests wait, not this one alone
                self.free_at = max(self.free_at, time.monotonic() + (wait or 0.0))
            raise Passing(f"HTTP {status}", wait)
        if status // 100 != 2:
            raise Refused(self.quoted(answer))
        try:
            said = reply(answer.json())
        except (ValueError, RecursionError) as error:
            raise Passing(f"damaged reply: {str(error)[:100]}") from None
        if said.is_filtered:
            raise Refused("the server's content filter ended the answer")
        return said

    def the_end(self, answer: httpx.Response) -> str | None:
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
        """See that something listens, before the first question.

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
