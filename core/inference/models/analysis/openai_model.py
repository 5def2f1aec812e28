"""A client for OpenAI-compatible chat endpoints: llama.cpp's server, vLLM and others."""

from __future__ import annotations

import base64
import json
from typing import Any

from core.errors import InputError, XaivaError
from core.inference.http_post import Reply, check_url, post
from core.inference.models.analysis.answer import Misconfigured
from core.inference.models.analysis.language_model import Prompt

_SERVER_NAME = "The analyser's server"
_UNSUPPORTED_STATUSES = (400, 422, 501)  # answers of servers that do not know the response format


class OpenAiModel:
    """`url` is the base (`http://vlm:8080/v1`) or the full address. The key is sent only in a header.

    Raises InputError for an invalid URL.
    """

    sees = True

    def __init__(self, url: str, model: str, key: str = "") -> None:
        if not url:
            raise InputError("XAIVA_ANALYSER_URL", "it is not set", "give the server's base URL, http://host:8080/v1")
        check_url(url, "XAIVA_ANALYSER_URL")
        base = url.rstrip("/")
        self._url = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
        self._model = model
        self._key = key
        self._takes_schema = True  # until the server refuses a JSON schema
        self.name = f"openai:{model}" if model else "openai"

    def complete(self, prompt: Prompt, seconds: float) -> str:
        """Ask the server. Raises XaivaError when it is unreachable, refuses, or answers without text."""
        reply = self._ask(prompt, seconds)
        if self._takes_schema and reply.status in _UNSUPPORTED_STATUSES and b"response_format" in reply.body:
            self._takes_schema = False
            reply = self._ask(prompt, seconds)
        if not reply.is_success:
            raise _refusal(reply.status)
        return _answer_text(reply.body)

    def _ask(self, prompt: Prompt, seconds: float) -> Reply:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return post(self._url, json.dumps(self._body(prompt)).encode(), headers, seconds, _SERVER_NAME)

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        body: dict[str, Any] = {"messages": chat_messages(prompt), "temperature": 0, "max_tokens": prompt.max_tokens}
        if self._model:
            body["model"] = self._model
        if self._takes_schema:
            body["response_format"] = response_format(prompt)
        return body


def chat_messages(prompt: Prompt) -> list[dict[str, Any]]:
    """The prompt as chat messages, with the picture as a data URL."""
    chat: list[dict[str, Any]] = [{"role": "system", "content": prompt.system}]
    for text, answer in prompt.examples:
        chat += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    content: str | list[dict[str, Any]] = prompt.text
    if prompt.picture is not None:
        data = "data:image/jpeg;base64," + base64.b64encode(prompt.picture).decode()
        content = [{"type": "text", "text": prompt.text}, {"type": "image_url", "image_url": {"url": data}}]
    chat.append({"role": "user", "content": content})
    return chat


def response_format(prompt: Prompt) -> dict[str, Any]:
    """The answer's schema in the form of chat endpoints."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": dict(prompt.schema)}}


def _refusal(status: int) -> XaivaError:
    if status in (401, 403):
        return Misconfigured(_SERVER_NAME, f"it refuses the key (status {status})", "check XAIVA_ANALYSER_KEY")
    if status == 404:
        return Misconfigured(
            _SERVER_NAME, "it does not know this address or model (status 404)", "check XAIVA_ANALYSER_URL and _MODEL"
        )
    return XaivaError(_SERVER_NAME, f"it answers with status {status}", "see the server's log")


def _answer_text(body: bytes) -> str:
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        raise XaivaError(_SERVER_NAME, "its answer is not a chat completion", "check XAIVA_ANALYSER_URL")
    return text
