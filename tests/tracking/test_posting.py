"""A tracker's thread: what arrives, in which order, and what a bad tracker costs."""

import threading
import time
from contextlib import contextmanager

import pytest
import torch

from imgtrain.tracking import posting
from imgtrain.tracking.memory import Mark
from imgtrain.tracking.posting import MOST, Post
from imgtrain.tracking.told import Began, Ended, Numbers, Outcome, Parameters, Pause


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(posting, "GATHER", 0.01)
    monkeypatch.setattr(posting, "REST", 0.01)


class Tracker:
    """Notes what it is told; ``faults`` say when to fail."""

    def __init__(self, *faults):
        self.heard, self.openings, self.faults = [], 0, list(faults)

    @contextmanager
    def __call__(self):
        self.openings += 1
        self.fail("open")
        yield self.hear

    def hear(self, told):
        self.fail(type(told).__name__)
        self.heard.append(told)

    def fail(self, where):
        if self.faults and self.faults[0] == where:
            raise OSError(f"{self.faults.pop(0)} failed at http://me:secret@host/a")

    @property
    def things(self):
        return [told for told in self.heard if not isinstance(told, Pause)]


def step(number, value=0.5, of="step"):
    return Numbers(of, number, {"a": value})


def post_of(tracker, tmp_path, *, rewinds=False):
    post = Post("mine", tracker, Mark.read(tmp_path, "mine"), rewinds)
    post.start()
    return post


def test_all_arrives_in_order(tmp_path):
    """What was told before the end is there after it, and a pause after the last."""
    tracker = Tracker()
    post = post_of(tracker, tmp_path)
    told = [Parameters({"a": 1}), Began(0), *map(step, range(1, 50)), Outcome(), Ended("finished")]
    for each in told:
        post.tell(each)
    post.end(10)

    assert tracker.things == told
    assert isinstance(tracker.heard[-1], Pause)
    assert tracker.openings == 1


@pytest.mark.parametrize(
    "faults", [["open"], ["open", "open"], ["Numbers"], ["Pause"], ["Ended"], ["Began", "open"]]
)
def test_what_fails_is_told_again(tmp_path, capfd, faults):
    """Opened anew, told once more what it had not confirmed; one warning, without passwords."""
    tracker = Tracker(*faults)
    post = post_of(tracker, tmp_path)
    told = [Began(0), step(1), step(2), Ended("finished")]
    for each in told:
        post.tell(each)
    time.sleep(0.2)
    post.end(10)

    last = [each for i, each in enumerate(tracker.things) if each not in tracker.things[i + 1 :]]
    assert last == told
    err = capfd.readouterr().err
    assert err.count("warning") == 1
    assert f"warning: --track mine: OSError: {faults[0]} failed at http://host/a" in err
    assert "secret" not in err


def test_what_can_never_be_sent_is_dropped(tmp_path, capfd):
    """What fails twice is left out; what comes after it arrives, the end above all."""
    tracker = Tracker("Outcome", "Outcome")
    post = post_of(tracker, tmp_path)
    for each in (step(1), Outcome(), step(2), Ended("finished")):
        post.tell(each)
    post.end(10)

    assert tracker.things == [step(1), step(2), Ended("finished")]
    assert capfd.readouterr().err.count("warning") == 1


def test_a_tracker_that_never_works_ends_by_itself(tmp_path, capfd):
    """At the end there is one more try, and no waiting for what cannot come."""
    post = post_of(Tracker(*["open"] * 100_000), tmp_path)
    post.tell(Ended("finished"))
    since = time.monotonic()
    post.end(30)

    assert time.monotonic() - since < 5
    assert capfd.readouterr().err.count("warning") == 1


def test_a_tracker_that_hangs_is_left_behind(tmp_path, capfd):
    """Telling it costs nothing, and the end waits no longer than it was told to."""
    free = threading.Event()

    @contextmanager
    def hangs():
        free.wait()
        yield lambda _: None

    post = post_of(hangs, tmp_path)
    since = time.thread_time()
    for number in range(1, MOST + 500):
        post.tell(step(number))
    told, since = time.thread_time() - since, time.monotonic()
    post.tell(step(9, of="epoch"))
    waiting = list(post._waiting)
    post.end(0.2)
    free.set()

    assert told / MOST < 100e-6  # seconds of the training's own thread
    assert time.monotonic() - since < 5
    assert len(waiting) == MOST + 1
    assert waiting[-1].of == "epoch"  # running numbers alone are dropped
    assert "is not done after 0 s: not everything was sent" in capfd.readouterr().err


@pytest.mark.parametrize(("rewinds", "expected"), [(False, [6, 7]), (True, [5, 6, 7])])
def test_nothing_is_told_twice_after_a_kill(tmp_path, rewinds, expected):
    """Steps that were sent before are not sent again; who forgets them is told anew."""
    first = post_of(Tracker(), tmp_path)
    for number in range(1, 7 if rewinds else 6):
        first.tell(step(number))
    first.tell(step(4, of="epoch"))
    first.end(10)  # and no end: as after kill -9
    tracker = Tracker()
    again = post_of(tracker, tmp_path, rewinds=rewinds)
    again.tell(Began(4))
    for number in (5, 6, 7):
        again.tell(step(number))
    again.tell(step(4, of="epoch"))
    again.end(10)

    steps = [told.step for told in tracker.things if isinstance(told, Numbers)]
    assert steps == expected


def test_numbers_are_numbers(tmp_path):
    """Tensors are read in the tracker's thread; what is no number is left out."""
    tracker = Tracker()
    post = post_of(tracker, tmp_path)
    values = {"a": torch.tensor(0.25), "b": float("nan"), "c": "three", "d": torch.ones(2), "e": 2}
    post.tell(Numbers("step", 1, values))
    post.end(10)

    assert tracker.things == [Numbers("step", 1, {"a": 0.25, "e": 2.0})]
