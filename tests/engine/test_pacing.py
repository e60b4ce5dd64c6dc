"""A training to a deadline on machines of all kinds: it ends in time, at the schedule's end."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtrain.engine.course import Course
from imgtrain.engine.pacing import CHECKS, Costs, Pacer
from imgtrain.engine.shapes import at_step
from imgtrain.errors import SettingsError

SIZES = ((80, 0.4), (104, 0.3), (128, 0.3))
CHECK, SAVE, END = 1.0, 0.3, 4.0


def train(budget, seconds_of, *, shares=(), total=300, per_epoch=40, wait=0.0, guess=1.0):
    """Walk through a training whose step number ``k`` takes ``seconds_of(k, side)``."""
    now = window = waited = 0.0
    costs = Costs(CHECK * guess, SAVE * guess, END)
    pacer = Pacer(deadline=budget, costs=costs, total=total, per_epoch=per_epoch, shares=shares)
    course, step, steps, sides, checks = pacer.begin(), 0, 0, [], 0.0
    while step < course.steps:
        side = at_step(course.sizes, step) if shares else 0
        took = seconds_of(step, side) + (wait if step < per_epoch else 0)
        sides.append(side)
        now, window, steps, step = now + took, window + took, steps + 1, step + 1
        waited += wait if step <= per_epoch else 0
        if window >= 0.25:
            pacer.heard(side, steps, window, waited=waited, cold=step <= per_epoch)
            window, steps, waited = 0.0, 0, 0.0
        if pacer.is_due(course, step, now):
            course = pacer.replanned(course, step, now, drawn=4)
        if step % per_epoch == 0 and step < course.steps and pacer.wants_check(now):
            now, checks = now + CHECK + SAVE, checks + CHECK + SAVE
            pacer.costs.check, pacer.costs.save = CHECK, SAVE
            pacer.checked_at = now
    return now + CHECK + SAVE + END, course, sides, checks


def is_sound(course, sides, total):
    """The schedule is walked forwards to its end, which a training of so many steps would reach."""
    places = [course.position(step) for step in range(course.steps)]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] >= total - total / course.steps - 1e-6
    assert places[-1] <= total
    assert sides == sorted(sides)
    if course.sizes:
        assert sides == [at_step(course.sizes, step) for step in range(course.steps)]
    return True


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.floats(30, 600), st.floats(0.01, 0.2), st.floats(0.4, 2.5), st.floats(0, 0.3)),
    st.sampled_from([(), SIZES]),
    st.integers(1, 400),
    st.floats(0.3, 3),
)
def test_it_ends_in_time_whatever_the_machine_does(machine, shares, per_epoch, guess):
    """Slower and slower, or faster, noisy, by any sizes: within 5 % or 5 s, whichever is larger."""
    budget, step, drift, noise = machine

    def seconds_of(number, side):
        area = (side / 128) ** 1.7 if side else 1.0
        wave = 1 + noise * math.sin(number * 2.399)
        slow = drift ** min(1.0, number * step / budget)
        return step * area * wave * slow

    ended, course, sides, checks = train(
        budget, seconds_of, shares=shares, per_epoch=per_epoch, guess=guess
    )
    assert abs(ended - budget) <= max(5, 0.05 * budget)
    assert checks <= 2 * CHECKS * budget
    assert is_sound(course, sides, 300)


@pytest.mark.parametrize("wait", [0.0, 0.1, 1.0])
def test_a_cold_first_epoch_is_not_taken_for_the_machines_speed(wait):
    """While files are decoded for the first time, steps wait; the schedule does not run away."""
    ended, course, sides, _ = train(120, lambda *_: 0.1, wait=wait)

    assert abs(ended - 120) <= 5
    assert is_sound(course, sides, 300)
    cold = course.position(40) / 300
    assert cold == pytest.approx(40 / course.steps, rel=0.35)


def test_without_surprises_the_schedule_is_that_of_a_training_of_so_many_steps():
    """A steady machine: position k is total x k / steps, nearly from the start."""
    _, course, _, _ = train(100, lambda *_: 0.1, total=900)

    assert course.steps == pytest.approx((100 - 5.3) / 0.1 * (1 - CHECKS / 2), rel=0.05)
    for step in range(0, course.steps, 50):
        assert course.position(step) / 900 == pytest.approx(step / course.steps, abs=0.03)


def test_a_machine_that_stands_still_ends_with_one_step_at_the_schedules_end():
    """Everything is late: no step more than one, and that at the lowest rate."""
    ended, course, sides, _ = train(40, lambda k, _: 30.0 if k == 50 else 0.1)

    assert course.steps == 52
    assert course.position(51) == pytest.approx(300 - 300 / 52)
    assert is_sound(course, sides, 300)
    assert ended < 42


def test_sizes_have_their_shares_of_the_schedule():
    """40, 30 and 30 % of the steps, as in a training without a budget."""
    _, course, sides, _ = train(200, lambda _, side: 0.1 * (side / 128) ** 2, shares=SIZES)

    for side, share in SIZES:
        assert sides.count(side) / course.steps == pytest.approx(share, abs=0.04)


@given(
    st.integers(1, 10**6),
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e3)), min_size=1, max_size=5),
    st.lists(st.integers(4, 512), max_size=4),
    st.lists(st.integers(1, 99), max_size=4, unique=True),
)
def test_the_line_of_text_gives_the_same_bits(steps, legs, sides, checked):
    """What is written is read again, floating point numbers to the last bit."""
    course = Course(
        steps,
        tuple((7 * k, start, each) for k, (start, each) in enumerate(legs)),
        tuple((5 * k, side) for k, side in enumerate(sides)),
        tuple(checked),
    )
    assert Course.parse(str(course)) == course


@pytest.mark.parametrize(
    "text",
    [
        "",
        "steps=3",
        "steps=0; pace=0:0:1; sizes=; checked=",
        "steps=3; pace=1:0:1; sizes=; checked=",
        "steps=3; pace=0:0:x; sizes=; checked=",
        "steps=3; pace=0:0:1; sizes=4:96; checked=",
    ],
)
def test_what_is_no_such_line_is_refused(text):
    """A sentence with the way out."""
    with pytest.raises(SettingsError, match="no schedule that a training with --budget wrote"):
        Course.parse(text)
