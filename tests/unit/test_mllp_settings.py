"""Settings of the listener that only make sense together."""

import pytest
from pydantic import ValidationError

from engine.settings import Kafka, Mllp


@pytest.mark.parametrize(
    "wrong",
    [
        {"tls_cert": "cert.pem"},
        {"tls_key": "key.pem"},
        {"tls_client_ca": "ca.pem"},
        {"max_held_bytes": 1000, "max_frame_bytes": 2000},
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong):
    """A listener that could never work, or would silently run without TLS, does not start."""
    with pytest.raises(ValidationError):
        Mllp(**wrong)


def test_defaults_leave_each_other_time():
    """Kafka decides before the listener gives up on it, the listener before a sender does."""
    mllp = Mllp()
    assert Kafka().publish_timeout < mllp.answer_timeout < mllp.send_ack_timeout
    assert mllp.stop_timeout < Kafka().shutdown_timeout
