"""JSON that can be sent whatever a client put into it."""

import json
import math
from typing import Any

from starlette.responses import JSONResponse


class AsciiJSONResponse(JSONResponse):
    """An answer in ASCII: also half a surrogate pair can be sent in it."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def read_json(body: bytes) -> Any:
    """Read JSON that can be written again.

    Raises:
        ValueError: it is none, or has numbers that are not finite, or is too deep.
    """
    try:
        return json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("too deep") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
