"""A stand-in for language models behind OpenAI's and Anthropic's protocols, which says what it is told to say.

`POST /v1/chat/completions` (https://platform.openai.com/docs/api-reference/chat) and `POST /v1/messages`
(https://docs.anthropic.com/en/api/messages), both also as streams of server-sent events.
"""

import json
import sys
from asyncio import sleep
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from contexten.emulators import control, llm_streams
from contexten.emulators.answers import AsciiJSONResponse, read_json
from contexten.emulators.interception import CONTROL_PREFIX, Interception
from contexten.emulators.recorder import Recorder
from contexten.emulators.serving import run_app, serve_app
from contexten.emulators.shapes import Json

MOST_REPLIES = 1_000
_PIECE = 20
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Reply(BaseModel):
    """What the model says next.

    Attributes:
        answer: the arguments of a call of the tool that it was given.
        arguments: the same as text, to be no JSON, say.
        text: what it says beside or instead of calling a tool.
        pause_seconds: how long it thinks before each piece of a stream.
        pieces: after how many pieces of a stream the connection is cut; None for never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: dict[str, Any] | None = None
    arguments: str | None = Field(default=None, max_length=200_000)
    text: str | None = Field(default=None, max_length=200_000)
    pause_seconds: float = Field(default=0, ge=0, le=60)
    pieces: int | None = Field(default=None, ge=0, le=100_000)

    @property
    def call(self) -> str | None:
        return json.dumps(self.answer) if self.answer is not None else self.arguments


DONE = Reply(answer={"succeeded": True, "summary": "Done."})


class Model:
    """What waits to be said, and how often something was said."""

    def __init__(self) -> None:
        self._waiting: deque[Reply] = deque(maxlen=MOST_REPLIES)

    def queue(self, *replies: Reply) -> None:
        """Have the model say these next; when nothing is left it says that it is done."""
        self._waiting.extend(replies)

    def next(self) -> Reply:
        return self._waiting.popleft() if self._waiting else DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningModel:
    """An emulator that is being served: OpenAI's protocol is at `url`/v1, Anthropic's at `url`."""

    url: str
    model: Model
    recorder: Recorder


def create_llm_emulator(*, capacity: int = 1_000) -> FastAPI:
    """Make the application; what it says is `app.state.model`, its memory `app.state.recorder`."""
    app = FastAPI(title="Language model emulator of Contexten", openapi_url=None)
    app.state.recorder = recorder = Recorder(capacity=capacity)
    app.state.model = model = Model()
    app.add_middleware(Interception, recorder=recorder, headers=dict, refusal=_refusal)
    app.include_router(control.router)

    async def complete(request: Request) -> Response:
        return await _say(request, model.next(), whole=llm_streams.completion, pieces=llm_streams.completion_chunks)

    async def message(request: Request) -> Response:
        return await _say(request, model.next(), whole=llm_streams.message, pieces=llm_streams.message_events)

    async def queue(reply: Reply) -> Json:
        model.queue(reply)
        return {"queued": 1}

    app.add_api_route("/v1/chat/completions", complete, methods=["POST"], response_model=None)
    app.add_api_route("/v1/messages", message, methods=["POST"], response_model=None)
    app.add_api_route(f"{CONTROL_PREFIX}/replies", queue, methods=["POST"], status_code=201)
    return app


@asynccontextmanager
async def run_llm_emulator(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[RunningModel]:
    """Serve an emulator in the running loop, on any free port unless one is given; stops within 2 s.

    Raises:
        StackError: the address cannot be listened on.
    """
    app = create_llm_emulator()
    async with serve_app(app, host=host, port=port) as url:
        yield RunningModel(url=url, model=app.state.model, recorder=app.state.recorder)


async def _say(
    request: Request,
    reply: Reply,
    *,
    whole: Callable[..., dict[str, Any]],
    pieces: Callable[..., Iterator[str]],
) -> Response:
    try:
        asked = read_json(await request.body())
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        return _refusal(400, None)
    said = {"model": str(asked.get("model")), "tool": _tool(asked), "text": reply.text, "call": reply.call}
    if not asked.get("stream"):
        return AsciiJSONResponse(whole(**said))
    return StreamingResponse(_stream(reply, pieces(**said, piece=_PIECE)), media_type="text/event-stream")


async def _stream(reply: Reply, pieces: Iterator[str]) -> AsyncIterator[str]:
    for number, piece in enumerate(pieces):
        if reply.pieces is not None and number >= reply.pieces:
            raise ConnectionAbortedError("told to break off")
        await sleep(reply.pause_seconds)
        yield piece


def _tool(asked: dict[str, Any]) -> str:
    """Return the name of the last tool that was offered: of pydantic-ai's the one for the answer."""
    tools = asked.get("tools")
    last = tools[-1] if isinstance(tools, list) and tools and isinstance(tools[-1], dict) else {}
    named = last.get("function", last)
    return str(named.get("name", "answer")) if isinstance(named, dict) else "answer"


def _refusal(status: int, retry_after: int | None) -> Response:
    kind = _ERRORS.get(status, "api_error")
    error = {"type": kind, "code": kind, "message": f"Emulated {kind}", "param": None}
    response = AsciiJSONResponse({"type": "error", "error": error}, status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


if __name__ == "__main__":
    sys.exit(run_app(create_llm_emulator(), name="contexten.emulators.llm"))
