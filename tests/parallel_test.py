"""Threads over a window of items."""

import threading

import pytest

from byola_tf import parallel


def test_results_come_in_the_order_of_the_items():
    found = parallel.in_order(lambda item: item * item, range(100), 3)
    assert list(found) == [item * item for item in range(100)]


def test_the_window_slides_while_its_first_item_takes_long():
    late = threading.Event()  # set by an item far behind the slow one

    def work(item):
        if item == 9:
            late.set()
        return item != 1 or late.wait(20)

    assert all(parallel.in_order(work, range(20), 2))


def test_few_items_are_read_ahead():
    read = []

    def items():
        for item in range(100):
            read.append(item)
            yield item

    found = parallel.in_order(str, items(), 2, ahead=3)
    assert [next(found), next(found)] == ["0", "1"]
    assert len(read) == 8
    found.close()
    assert len(read) == 8


def test_the_first_fault_ends_the_rest():
    done = []

    def work(item):
        if item == 2:
            raise KeyError(item)
        done.append(item)

    with pytest.raises(KeyError):
        list(parallel.in_order(work, range(1000), 1))
    assert len(done) < 20


def test_an_abandoned_iterator_waits_for_no_thread():
    begun, end = threading.Event(), threading.Event()

    def hold(item):
        if item:
            begun.set()
            end.wait(30)
        return item

    items = parallel.in_order(hold, range(3), 2)
    assert next(items) == 0
    begun.wait(30)
    closing = threading.Thread(target=items.close)
    closing.start()
    closing.join(10)
    is_closed = not closing.is_alive()
    end.set()
    assert is_closed
