"""A model's reply in the words of OpenAI's and Anthropic's protocols, whole and as server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

_TOKENS_IN = 100
_CALL_ID = "call_emulated_1"


def completion(*, model: str, tool: str, text: str | None, call: str | None) -> dict[str, Any]:
    """Return an OpenAI chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if call is not None:
        message["tool_calls"] = [{"id": _CALL_ID, "type": "function", "function": {"name": tool, "arguments": call}}]
    choice = {"index": 0, "message": message, "finish_reason": "stop" if call is None else "tool_calls"}
    return {**_frame(model, "chat.completion"), "choices": [choice], "usage": _usage(text, call)}


def completion_chunks(*, model: str, tool: str, text: str | None, call: str | None, piece: int) -> Iterator[str]:
    """Yield the same as a stream, in pieces of so many characters."""
    frame = _frame(model, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], ends: str | None = None) -> str:
        return _data({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": ends}]})

    yield chunk({"role": "assistant", "content": "" if text is not None else None})
    for part in _pieces(text or "", piece):
        yield chunk({"content": part})
    if call is not None:
        named = {"index": 0, "id": _CALL_ID, "type": "function", "function": {"name": tool, "arguments": ""}}
        yield chunk({"tool_calls": [named]})
        for part in _pieces(call, piece):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    yield chunk({}, "stop" if call is None else "tool_calls")
    yield _data({**frame, "choices": [], "usage": _usage(text, call)})
    yield "data: [DONE]\n\n"


def message(*, model: str, tool: str, text: str | None, call: str | None) -> dict[str, Any]:
    """Return an Anthropic message; arguments that are no JSON object become an empty one, as there is no other form."""
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    if call is not None:
        content.append({"type": "tool_use", "id": _CALL_ID, "name": tool, "input": _object(call)})
    usage = {"input_tokens": _TOKENS_IN, "output_tokens": _length(text, call)}
    return {
        **_opening(model),
        "content": content,
        "stop_reason": "end_turn" if call is None else "tool_use",
        "usage": usage,
    }


def message_events(*, model: str, tool: str, text: str | None, call: str | None, piece: int) -> Iterator[str]:
    """Yield the same as a stream, in pieces of so many characters."""
    usage = {"input_tokens": _TOKENS_IN, "output_tokens": 1}
    opened = {**_opening(model), "content": [], "stop_reason": None, "usage": usage}
    yield _event("message_start", message=opened)
    index = 0
    if text:
        yield _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        for part in _pieces(text, piece):
            yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": part})
        yield _event("content_block_stop", index=index)
        index += 1
    if call is not None:
        block = {"type": "tool_use", "id": _CALL_ID, "name": tool, "input": {}}
        yield _event("content_block_start", index=index, content_block=block)
        for part in _pieces(call, piece):
            delta = {"type": "input_json_delta", "partial_json": part}
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ends = {"stop_reason": "end_turn" if call is None else "tool_use", "stop_sequence": None}
    yield _event("message_delta", delta=ends, usage={"output_tokens": _length(text, call)})
    yield _event("message_stop")


def _frame(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-emulated", "object": kind, "created": 1_700_000_000, "model": model}


def _opening(model: str) -> dict[str, Any]:
    return {
        "id": "msg_emulated",
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_sequence": None,
    }


def _usage(text: str | None, call: str | None) -> dict[str, int]:
    said = _length(text, call)
    return {"prompt_tokens": _TOKENS_IN, "completion_tokens": said, "total_tokens": _TOKENS_IN + said}


def _length(text: str | None, call: str | None) -> int:
    """Count the words as tokens."""
    return len(f"{text or ''} {call or ''}".split())


def _object(call: str) -> Any:
    try:
        given = json.loads(call)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _data(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _event(name: str, **fields: Any) -> str:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n"
