"""Requests and replies of the chat completions protocol, as plain data."""

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from zerolabel.vlms.chat import Chat
from zerolabel.vlms.chat.answers import NONE, schema

_SCHEMA = ("response_format", "schema", "json", "grammar", "guided")
_CUT = ("length", "max_tokens", "model_length", "max_output_tokens")
_VERSIONS = ("version", "revision", "digest", "hash", "sha", "fingerprint", "root", "quantization")
_LONGEST_NAME = 500
_FORM = (
    'Answer with JSON alone: {{"classes": ["..."]}}, with the names exactly as they are listed, most likely first, at '
    'most {choices}; ["{none}"] where it shows none of them.'
)


@dataclass(frozen=True)
class Dialect:
    """Protocol features that a server supports; learned from its error replies.

    Attributes:
        schema: takes ``response_format`` with a JSON schema.
        max_tokens: name of the field that limits the answer.
        temperature: takes a temperature.
    """

    schema: bool = True
    max_tokens: str = "max_tokens"
    temperature: bool = True

    def after(self, status: int, refusal: str) -> "Dialect | None":
        """The dialect to try after an error reply; None if the reply rejects no optional field."""
        if status in (500, 501) and self.schema and any(word in refusal for word in _SCHEMA[:2]):
            return Dialect(False, self.max_tokens, self.temperature)
        if status not in (400, 422):
            return None
        if self.max_tokens == "max_tokens" and "max_completion_tokens" in refusal:
            return Dialect(self.schema, "max_completion_tokens", self.temperature)
        if self.temperature and "temperature" in refusal:
            return Dialect(self.schema, self.max_tokens, False)
        if self.schema and any(word in refusal for word in _SCHEMA):
            return Dialect(False, self.max_tokens, self.temperature)
        return None


@dataclass(frozen=True)
class Reply:
    """A parsed reply.

    Attributes:
        text: of the answer; None where it refused to give one.
        tokens_in: as the server counts them; 0 where it does not.
        tokens_out: the same.
        finish: why the answer ends, in the server's word; empty where it says none.
        model: what the server calls the model that answered, such as a dated version of the one that was asked.
    """

    text: str | None
    tokens_in: int = 0
    tokens_out: int = 0
    finish: str = ""
    model: str = ""

    @property
    def is_cut_off(self) -> bool:
        """True if the answer was cut off at the maximum number of tokens."""
        return self.finish.casefold() in _CUT

    @property
    def is_filtered(self) -> bool:
        """True if the server's content filter ended the answer."""
        return self.finish.casefold() == "content_filter"


def question(template: str, names: Sequence[str], choices: int) -> str:
    """The prompt with the class names, and the form of the answer."""
    listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in names)
    return template.replace("{}", listed) + "\n" + _FORM.format(choices=choices, none=NONE)


def data_url(image: Image.Image, side: int) -> str:
    """An image as JPEG in a URL, its longest side at most ``side`` pixels."""
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def body(chat: Chat, text: str, url: str, names: Sequence[str], dialect: Dialect) -> dict[str, Any]:
    """A request, in the dialect of the server."""
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    data: dict[str, Any] = {"model": chat.model, "messages": [{"role": "user", "content": content}]}
    data[dialect.max_tokens] = chat.tokens_out
    if dialect.temperature:
        data["temperature"] = 0
    if dialect.schema:
        form = {"name": "classes", "strict": True, "schema": schema(names, chat.choices)}
        data["response_format"] = {"type": "json_schema", "json_schema": form}
    return data


def reply(data: object) -> Reply:
    """The answer in a reply.

    Raises:
        ValueError: it has another form.
    """
    if not isinstance(data, dict):
        raise ValueError("the reply is no chat completion (TypeError)")
    try:
        content, finish = data["choices"][0]["message"].get("content"), data["choices"][0].get("finish_reason")
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
        usage = data.get("usage") or {}
        tokens = [count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
        ends, model = (one if isinstance(one, str) else "" for one in (finish, data.get("model")))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the reply is no chat completion ({type(error).__name__})") from None
    if content is not None and not isinstance(content, str):
        raise ValueError("the reply's content is no text")
    text = None if content is None else _sound(content)
    return Reply(text, tokens[0], tokens[1], ends, _sound(model)[:_LONGEST_NAME])


def declared(data: object, model: str) -> str:
    """The version of a model that a list of models declares; empty where it declares none.

    The time of creation is left out: some servers give that of the request.
    """
    listed = data.get("data") if isinstance(data, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and entry.get("id") == model:
            parts = [f"{name}={entry[name]}" for name in _VERSIONS if isinstance(entry.get(name), str | int | float)]
            return _sound(" ".join(parts))[:_LONGEST_NAME]
    return ""


def _sound(text: str) -> str:
    """Text that any file can hold."""
    return text.encode("utf-8", "replace").decode()


def count(value: object) -> int:
    """A number of tokens; 0 where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value < 2**31 else 0


def tokens_in(text: str, width: int, height: int, side: int) -> int:
    """Estimate of the tokens of a request: four characters of text each, and 85 + 170 for each 512 x 512 of the image.

    The image's is OpenAI's rule; servers of other models count otherwise.
    """
    scale = min(1.0, side / max(width, height, 1))
    tiles = math.ceil(max(width * scale, 1) / 512) * math.ceil(max(height * scale, 1) / 512)
    return math.ceil(len(text) / 4) + 85 + 170 * tiles
