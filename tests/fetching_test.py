"""A source that never answers: who is waited for, a limit, a way to stop."""

import threading
import time

import pytest

from byola_tf import fetching


@pytest.fixture
def silence(monkeypatch):
    """A source that never gives its second item."""
    monkeypatch.setattr(fetching, "_SILENT_S", 0.1)
    monkeypatch.setattr(fetching, "_POLL_S", 0.02)
    forever = threading.Event()

    def items():
        yield "first"
        forever.wait()

    yield items
    forever.set()


def test_items_come_as_from_an_iterator():
    with fetching.Fetcher(lambda: range(3), lambda: "nobody") as items:
        assert list(items) == [0, 1, 2] and next(items, "end") == "end"


def test_nothing_is_fetched_ahead():
    fetched = []
    with fetching.Fetcher(lambda: map(fetched.append, range(9)), str) as items:
        next(items)
        time.sleep(0.1)
        assert fetched == [0]


def test_who_is_waited_for_is_named_and_given_up(silence, caplog):
    with fetching.Fetcher(silence, lambda: "the printer", 0.3) as items:
        assert next(items) == "first"
        with pytest.raises(fetching.NoAnswerError, match="the printer must answer .*0"):
            next(items)
    assert caplog.messages == ["Waiting for the printer ..."]


def test_a_request_to_stop_ends_the_wait(silence):
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with fetching.Fetcher(silence, str, is_stopped=stop.is_set) as items:
        assert list(items) == ["first"]


def test_a_fault_of_the_source_is_the_caller_s():
    def items():
        raise KeyError("lost")

    with fetching.Fetcher(items, str) as fetched, pytest.raises(KeyError):
        next(fetched)
