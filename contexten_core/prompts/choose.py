"""Which version answers an event, while several share a prompt's events: the one function that a policy replaces."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

_BITS = 53  # what a float holds exactly


@dataclass(frozen=True, slots=True)
class Variant:
    """A version that may answer, and its share of the events: `weight` of the sum of all weights.

    With weight 0 it gets none.
    """

    version: int
    weight: float


@dataclass(frozen=True, slots=True)
class ChoiceContext:
    """What a choice may go by.

    Attributes:
        subject: the pull request, issue or thread that the event is about, or the run where it is about none.
        fields: what conditions see of the event, its project and its code.
    """

    prompt_id: UUID
    experiment_id: UUID
    subject: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VariantChoice:
    """The version that answers, and how probable it was that this one would: 1.0 where there was no other."""

    version: int
    probability: float


def choose(candidates: Sequence[Variant], context: ChoiceContext) -> VariantChoice:
    """Choose the version that answers an event.

    This is the contract, which any other policy keeps:

    - It is pure: the same candidates and context give the same choice, in any process, at any time. A policy that
      explores takes its chance from a hash of `experiment_id` and `subject`, not from a random generator.
    - It chooses one of the candidates whose weight is above 0.
    - `probability` is the policy's own probability of that choice, given what it knows: above 0, and over all
      candidates the sum is 1. It is stored with what came of the run, and whatever is learned from that later divides
      by it, so one that is not true makes every later estimate wrong.
    - It neither reads nor writes anything, and takes well under a millisecond. That a run, and a subject within an
      experiment, stays with its variant when it comes again is seen to by `experiments.variant_for`.

    This policy draws by weight alone, with weighted rendezvous hashing (Schindelhauer and Schomaker 2005, "Weighted
    distributed hash tables", the logarithmic method): each candidate draws an exponential waiting time at the rate of
    its weight, and the first one wins. The draws of different candidates do not touch each other, so that raising one
    weight, or adding a candidate, moves only subjects to that candidate.

    Raises:
        ValueError: no candidate has a weight above 0.
    """
    live = [candidate for candidate in candidates if candidate.weight > 0]
    if not live:
        raise ValueError("no variant has a weight above 0")
    chosen = min(live, key=lambda one: (_waiting_time(one, context), one.version))
    return VariantChoice(chosen.version, chosen.weight / math.fsum(one.weight for one in live))


def _waiting_time(candidate: Variant, context: ChoiceContext) -> float:
    return -math.log(_uniform(candidate.version, context)) / candidate.weight


def _uniform(version: int, context: ChoiceContext) -> float:
    """Return a number between 0 and 1, both excluded, that is as good as random."""
    text = f"{context.experiment_id.hex} {version} {context.subject}"
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return ((int.from_bytes(digest[:8]) >> (64 - _BITS)) + 0.5) / float(2**_BITS)
