"""The books of the hold-back."""

from adapters.kafka.holdback import Ledger


def test_what_is_read_makes_room():
    """Bytes count as unread until every reader has committed past them."""
    ledger = Ledger()
    for offset in range(4):
        ledger.written(offset, 100)
    assert not ledger.fits(100, 400)
    ledger.read_up_to(2, 4)
    assert ledger.total == 200
    assert ledger.fits(200, 400)


def test_a_record_over_the_limit_goes_alone():
    """It waits until all before it is read, then it goes, however large."""
    ledger = Ledger()
    ledger.written(0, 1)
    assert not ledger.fits(500, 400)
    ledger.read_up_to(1, 1)
    assert ledger.fits(500, 400)


def test_admitted_bytes_count_before_they_are_confirmed():
    """A burst that was let in together can't overrun the limit."""
    ledger = Ledger(reserved=300)
    assert not ledger.fits(101, 400)


def test_records_of_other_writers_are_estimated():
    """Another process that publishes to the same partition is seen by the number of its records."""
    ledger = Ledger()
    ledger.written(0, 100)
    ledger.written(5, 100)
    ledger.read_up_to(0, 6)
    assert ledger.total == 600


def test_confirmations_may_come_out_of_order():
    """Two publishers of one process confirm in any order; nothing is forgotten too early."""
    ledger = Ledger()
    ledger.written(7, 10)
    ledger.written(6, 10)
    ledger.read_up_to(7, 8)
    assert ledger.unread == [(7, 10)]
