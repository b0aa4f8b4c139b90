"""Whatever the order in which handlers finish, the window keeps its promises."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.kafka.window import Window


@given(st.data())
def test_nothing_unconfirmed_is_ever_committable(data):
    """In any interleaving: output in offset order and once each, and all below ``committable`` confirmed."""
    total = data.draw(st.integers(1, 30))
    limit = data.draw(st.integers(1, 8))
    first = data.draw(st.integers(0, 5))
    window = Window(first, max_records=limit, max_bytes=10_000)
    unfinished, taken, confirmed = [], [], []
    admitted = first
    while len(confirmed) < total:
        steps = []
        if admitted < first + total and window.has_room(1):
            steps.append("admit")
        if unfinished:
            steps.append("finish")
        if len(taken) > len(confirmed):
            steps.append("confirm")
        steps.append("take")
        step = data.draw(st.sampled_from(steps))
        if step == "admit":
            window.admit(admitted, 1)
            unfinished.append(admitted)
            admitted += 1
        elif step == "finish":
            offset = unfinished.pop(data.draw(st.integers(0, len(unfinished) - 1)))
            window.finish(offset, f"output {offset}")
        elif step == "take":
            for offset, output in window.take():
                assert output == f"output {offset}"
                assert offset not in unfinished
                taken.append(offset)
        else:
            some = data.draw(st.integers(1, len(taken) - len(confirmed)))
            window.confirm(some)
            confirmed += taken[len(confirmed) : len(confirmed) + some]
        assert len(window) <= limit
        assert taken == list(range(first, first + len(taken)))
        assert window.committable == (first + len(confirmed) if confirmed else None)
