import pytest

from mmsparseswin.benchmark import job_profile
from mmsparseswin.benchmark.job_profile import Stopwatch


def test_what_an_inner_part_takes_does_not_count_for_the_outer_one(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(job_profile, '_now', lambda: clock[0])

    def spend(seconds):
        clock[0] += seconds

    watch = Stopwatch()
    inner = watch.timed('inner', spend)

    def outer():
        spend(1)
        inner(2)
        inner(4)

    watch.timed('outer', outer)()
    assert watch.seconds == {'outer': 1, 'inner': 6}


def test_an_error_inside_is_counted_and_passed_on(monkeypatch):
    clock = iter([0.0, 3.0])
    monkeypatch.setattr(job_profile, '_now', lambda: next(clock))
    watch = Stopwatch()
    with pytest.raises(ZeroDivisionError):
        watch.timed('part', lambda: 1 / 0)()
    assert watch.seconds == {'part': 3}
