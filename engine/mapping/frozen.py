"""Values that are placed into many resources: what is kept never changes, every resource gets a copy of its own."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from functools import partial
from typing import Any


def frozen(value: Any) -> Callable[[], Any]:
    """A maker of copies. Most values are texts, or objects of texts alone, which marshal copies fastest."""
    if isinstance(value, str):
        return lambda: value
    try:
        return partial(marshal.loads, marshal.dumps(value))
    except ValueError:
        return partial(_copy, value)


def _copy(value: Any) -> Any:
    if value.__class__ is dict:
        return {name: _copy(part) for name, part in value.items()}
    if value.__class__ is list:
        return [_copy(part) for part in value]
    return value
