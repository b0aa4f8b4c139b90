"""Answers about short texts, remembered."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

LONGEST = 256
"""Characters of the longest text that is remembered. Longer ones do not come again, and thousands of them would fill the memory."""

Rest = ParamSpec("Rest")
Answer = TypeVar("Answer")


def remembered(
    count: int, longest: int = LONGEST
) -> Callable[[Callable[Concatenate[str, Rest], Answer]], Callable[Concatenate[str, Rest], Answer]]:
    """Remember what a function says of the last ``count`` texts; what a sender may make as long as he likes is bounded so."""

    def of(ask: Callable[Concatenate[str, Rest], Answer]) -> Callable[Concatenate[str, Rest], Answer]:
        known: Callable[..., Answer] = lru_cache(maxsize=count)(ask)

        @wraps(ask)
        def answer(text: str, /, *rest: Rest.args, **named: Rest.kwargs) -> Answer:
            return known(text, *rest, **named) if len(text) <= longest else ask(text, *rest, **named)

        return answer

    return of
