"""What can go wrong when we send. All are retryable; the caller decides, for a retry may be a duplicate.

::

    WardstreamError
    └── SendError
        ├── ConnectError     no connection: the message was not sent
        ├── AckTimeoutError  sent, no acknowledgement in time: it may or may not be safe there
        └── LinkLostError    sent, connection lost before the acknowledgement: the same
"""

from __future__ import annotations

from engine.errors import WardstreamError


class SendError(WardstreamError):
    code = "mllp-send"
    retryable = True


class ConnectError(SendError):
    code = "mllp-connect"


class AckTimeoutError(SendError):
    code = "mllp-ack-timeout"


class LinkLostError(SendError):
    code = "mllp-link-lost"
