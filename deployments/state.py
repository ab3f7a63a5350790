"""What `run/stack.json` says: who supervises this home, at which addresses, with which children."""

import json
from dataclasses import asdict, dataclass
from signal import Signals
from typing import Any, Self

from deployments.process_table import ProcessId


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningChild:
    """One child as the state file remembers it, so that a later supervisor can end it.

    Attributes:
        name: the child's name.
        process: its process.
        command: the program that it executes, for people.
        stop_signals: what ends it, in this order, before it is killed.
        patience: seconds to wait after each signal.
    """

    name: str
    process: ProcessId
    command: str
    stop_signals: tuple[Signals, ...]
    patience: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    """The state of a running stack.

    Attributes:
        supervisor: the process that holds the home.
        started_at: when it started, in ISO 8601 (UTC).
        urls: addresses by name; `web` is the one for people.
        database: the address of the database, without its password; None before there is one.
        children: in the order of their start.
    """

    supervisor: ProcessId
    started_at: str
    urls: dict[str, str]
    database: str | None = None
    children: tuple[RunningChild, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is something else (KeyError and TypeError are turned into it).
        """
        try:
            data = json.loads(text)
            return cls(
                supervisor=ProcessId(**data["supervisor"]),
                started_at=data["started_at"],
                urls=data["urls"],
                database=data["database"],
                children=tuple(_child(entry) for entry in data["children"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the state of a stack: {error!r}") from error


def _child(entry: dict[str, Any]) -> RunningChild:
    return RunningChild(
        name=entry["name"],
        process=ProcessId(**entry["process"]),
        command=entry["command"],
        stop_signals=tuple(Signals(number) for number in entry["stop_signals"]),
        patience=float(entry["patience"]),
    )
