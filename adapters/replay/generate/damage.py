"""Messages broken beyond reading, in the ways that broken senders and networks break them."""

from __future__ import annotations

from collections.abc import Callable

from adapters.replay.generate.chance import Chance

_PROXY_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def _header_lost(message: bytes) -> bytes:
    return message.partition(b"\r")[2]


def _cut_in_header(message: bytes) -> bytes:
    return message[:4]


def _bytes_spoiled(message: bytes) -> bytes:
    """A byte that no UTF-8 text has, in a message that says it is UTF-8."""
    return (
        message.replace(b"|KGH|", b"|KGH|\xff", 1)
        if b"|UNICODE UTF-8" in message
        else _cut_in_header(message)
    )


def _proxy_page(_: bytes) -> bytes:
    return _PROXY_PAGE


_WAYS: tuple[Callable[[bytes], bytes], ...] = (_header_lost, _cut_in_header, _bytes_spoiled, _proxy_page)


def damage(message: bytes, chance: Chance) -> bytes:
    """The message, unreadable: no reader can accept what is left."""
    if message.startswith(b"{"):
        return message[: len(message) // 2]
    return chance.one(_WAYS)(message)
