"""What can go wrong with the log itself, beyond :class:`engine.errors.PublishError`.

::

    WardstreamError
    ├── PublishError
    │   └── UnreachableError   no broker answers (retryable)
    ├── HandlerTimeoutError    a record took too long (retryable)
    │   └── HandlerStuckError  and its code can't be ended
    ├── LogGapError            records are gone from the log before they were read
    ├── StalledError           work waits and none gets done
    └── FeedError              the consumer crashed
"""

from __future__ import annotations

from engine.errors import PublishError, WardstreamError


class UnreachableError(PublishError):
    code = "kafka-unreachable"


class HandlerTimeoutError(WardstreamError):
    code = "handler-timeout"
    retryable = True


class HandlerStuckError(HandlerTimeoutError):
    pass


class LogGapError(WardstreamError):
    code = "log-gap"


class StalledError(WardstreamError):
    code = "stalled"


class FeedError(WardstreamError):
    code = "kafka-consumer"
