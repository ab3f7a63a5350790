"""What goes wrong on the way of a delivery, drawn from a seed, so that it can be had again."""

import random
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

_Chance = Field(default=0.0, ge=0, le=1)


class Cut(StrEnum):
    """Where the connection breaks: with half of the body sent, or with the answer on its way."""

    BEFORE = "before"
    AFTER = "after"


class SendingFaults(BaseModel):
    """Chances, from 0 to 1, of what happens to the first attempt of each delivery.

    Attributes:
        duplicate: it is sent twice at once, alike in every byte.
        reorder: it is held back until up to `reorder_by` later ones have been sent.
        delay: it is sent up to `delay_seconds` later, of the emulator's clock.
        drop: it gets lost on the way; to its sender that is no connection.
        cut_before: the connection breaks before the request is complete.
        cut_after: the request is received, and the connection breaks before the answer is.
        per_second: at most so many attempts of all deliveries in a second of the emulator's clock.
        seed: the same seed and the same deliveries, in the same order, meet with the same fate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duplicate: float = _Chance
    reorder: float = _Chance
    reorder_by: int = Field(default=3, ge=1, le=1000)
    delay: float = _Chance
    delay_seconds: float = Field(default=10.0, ge=0, le=86_400)
    drop: float = _Chance
    cut_before: float = _Chance
    cut_after: float = _Chance
    per_second: float | None = Field(default=None, gt=0)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What will happen to one delivery."""

    copies: int = 1
    hold_for: int = 0
    delay_seconds: float = 0.0
    drop: bool = False
    cut: Cut | None = None


class Fates:
    """Draws the fate of one delivery after the other."""

    def __init__(self, faults: SendingFaults) -> None:
        self._faults = faults
        self._random = random.Random(faults.seed)  # noqa: S311 - wanted to be foreseen

    def draw(self) -> Fate:
        """Draw the next; always as many numbers, so that one chance does not shift the others."""
        faults = self._faults
        chances = [self._random.random() for _ in range(6)]
        hold_for = self._random.randint(1, faults.reorder_by)
        delay_seconds = self._random.uniform(0, faults.delay_seconds)
        duplicate, reorder, delay, drop, before, after = chances
        cut = Cut.BEFORE if before < faults.cut_before else Cut.AFTER if after < faults.cut_after else None
        return Fate(
            copies=2 if duplicate < faults.duplicate else 1,
            hold_for=hold_for if reorder < faults.reorder else 0,
            delay_seconds=delay_seconds if delay < faults.delay else 0.0,
            drop=drop < faults.drop,
            cut=cut,
        )
