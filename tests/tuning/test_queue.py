"""Who gets which trial: nothing is lost, stuck, or run by two."""

import time
from dataclasses import replace
from types import SimpleNamespace

import optuna
import pytest

from imgtrain.continuing import identity_keys
from imgtrain.events import EpochEnded, RunStarted
from imgtrain.files import write_json, write_text
from imgtrain.rundir import RunDir, identity_of
from imgtrain.settings.layers import from_flat, to_yaml
from imgtrain.tuning.folded import cost_of
from imgtrain.tuning.goals import Goal
from imgtrain.tuning.presence import HOME, MACHINE, Presence
from imgtrain.tuning.queue import MOST_STARTS, LostTrial, Queue
from imgtrain.tuning.searching import _queue_grid
from imgtrain.tuning.space import propose
from imgtrain.tuning.study import rejoined
from imgtrain.tuning.trial import Bench, Telling, trial_settings
from imgtrain.tuning.warm import _added

SPACE = {"optim.lr": "1e-4..1e-1,log", "optim.name": "adamw,sgd"}


@pytest.fixture
def study(tmp_path):
    """A study of three trials, in a file."""
    settings = from_flat({"tune.trials": 3, "tune.space": SPACE, "tune.seed": 7})
    goals = (Goal("val_top1", maximize=True),)
    made = rejoined(tmp_path, "study", settings, settings.tune.space, goals)
    yield made
    made.close()


def worker(study, **times):
    """A worker's queue, and the worker."""
    me = Presence(study.folder.path, study.storage, **times)
    return Queue(study, me), me


def states(study):
    return [trial.state.name for trial in study.trials.trials]


def test_a_worker_that_died_here_is_noticed_at_once(study):
    """Its file is not locked any more: the next one goes on with its trial, as it was proposed."""
    first, me = worker(study)
    with me.shown():
        trial = first.take()
        proposed = propose(study.space, trial)
    assert states(study) == ["RUNNING"]

    second, other = worker(study)
    with other.shown():
        again = second.take()
        assert (again.number, propose(study.space, again)) == (trial.number, proposed)
    assert not first.is_mine(trial)
    with pytest.raises(LostTrial):
        first.tell(trial, {}, values=[1.0])


def test_a_worker_elsewhere_is_alive_as_long_as_it_shows_it(study):
    """Its trial is left alone while its number rises, and taken over once that stands still."""
    first, me = worker(study, beat=0.05)
    second, other = worker(study, stale=1.0)
    with me.shown(), other.shown():
        trial = first.take()
        trial.set_user_attr(MACHINE, "elsewhere")
        for _ in range(2):
            second.tell(second.take(), {}, values=[0.5])
        until = time.monotonic() + 1.5
        while time.monotonic() < until:  # longer than it would be given if it were dead
            second._bring_back()
            time.sleep(0.1)
        assert states(study)[0] == "RUNNING"
        me.works_on(None)  # no sign of life from now on

        begun = time.monotonic()
        assert second.take().number == trial.number
        assert time.monotonic() - begun >= 0.9


def test_what_kills_its_process_is_not_tried_for_ever(study):
    """After three deaths without an epoch the trial has failed, and the others go on."""
    for _ in range(MOST_STARTS):
        queue, me = worker(study)
        with me.shown():
            assert queue.take().number == 0
    queue, me = worker(study)
    with me.shown():
        assert queue.take().number == 1
    assert states(study) == ["FAIL", "RUNNING"]
    assert "died 3 times" in study.trials.trials[0].user_attrs["error"]


def test_an_epoch_that_was_there_before_is_no_progress(study):
    """What dies in its second epoch again and again ends as well; a new epoch counts anew."""
    row = {"epoch": 1, "val_top1": 0.5, "seconds": 1.0}
    begins = RunStarted(
        epochs=3, steps_per_epoch=1, epoch=2, step=0, history=(row,), monitor="val_top1"
    )
    for _ in range(MOST_STARTS):
        queue, me = worker(study)
        with me.shown():
            trial = queue.take()
            telling = Telling(study, queue, trial, lambda: None)
            telling(begins)
            starts = study.storage.get_trial(trial._trial_id).user_attrs["starts"]
    assert starts == MOST_STARTS
    row = {"epoch": 2, "val_top1": 0.6, "seconds": 1.0}
    with me.shown():
        telling(EpochEnded(epoch=2, epochs=3, row=row, is_best=True))
    assert study.storage.get_trial(trial._trial_id).user_attrs["starts"] == 1


def test_another_folder_under_the_same_path_tells_nothing(study):
    """Two containers of a machine: a worker whose lock is elsewhere is not dead."""
    first, me = worker(study)
    second, other = worker(study)
    with me.shown(), other.shown():
        trial = first.take()
        path = study.folder.path.absolute()
        for home in (str(path), f"{path} 0:0"):
            trial.set_user_attr(HOME, home)
            (path / ".workers" / me.token).rename(path / "hidden")
            second._bring_back()
            (path / "hidden").rename(path / ".workers" / me.token)
            assert states(study) == ["RUNNING"]


def test_a_grid_that_was_half_queued_is_completed(study):
    """Killed while it queued the points, the same command queues the others, none twice."""
    settings = from_flat({
        "tune.space": {"optim.lr": [0.1, 0.2, 0.3], "optim.name": ["adamw", "sgd"]},
        "tune.method": "grid",
    })  # fmt: skip
    grid = replace(study, settings=settings, space=settings.tune.space)
    study.trials.enqueue_trial({"optim.lr": 0.1, "optim.name": "adamw"})

    for _ in range(2):
        _queue_grid(grid)
        points = [tuple(t.system_attrs["fixed_params"].values()) for t in study.trials.trials]
        assert sorted(points) == [(r, n) for r in (0.1, 0.2, 0.3) for n in ("adamw", "sgd")]


def test_what_was_taken_over_already_is_not_taken_twice(study, tmp_path):
    """Killed while it took over a study's trials, the same command takes the rest."""
    values = {"optim.lr": 0.01, "optim.name": "sgd"}
    other = optuna.create_study(direction="maximize")
    done = other.ask()
    propose(study.space, done)
    other.tell(done, 0.5)
    frozen = other.trials[0]
    frozen.params = values

    assert [_added(study, {}, frozen, tmp_path) for _ in range(2)] == [True, True]
    assert len(study.trials.trials) == 1


def test_what_a_trial_cost_is_in_its_histories(study, tmp_path):
    """One that was finished by a worker that died before it could tell, and its folds."""
    head = "epoch,step,seconds\n"
    run = RunDir(tmp_path / "trial_0000")
    for name, lines in (("fold_1", "1,2,1.5\n2,4,1.5\n"), ("fold_2", "1,2,1.25\n")):
        (run.path / name).mkdir(parents=True)
        (run.path / name / "history.csv").write_text(head + lines)

    assert cost_of(run.path) == (3, 4.25)
    queue, _ = worker(study)
    took = Telling(study, queue, None, lambda: None).took(run)
    assert took == {"epochs": 3, "seconds": 4.25}
    assert cost_of(tmp_path) == (0, 0.0)


def test_a_trial_goes_on_with_the_share_of_another_worker(study):
    """On another GPU than it began on, with the threads that it began with."""
    queue, _ = worker(study)
    ground = SimpleNamespace(index=SimpleNamespace(fingerprint="pictures"))
    bench = Bench(study, queue, ground, {})
    begun, now, other = (
        trial_settings(study, 0, {"optim.lr": lr, "hardware.gpus": gpus, "hardware.threads": n})
        for lr, gpus, n in ((0.01, [0], 1), (0.01, [1], 2), (0.02, [1], 2))
    )
    run = RunDir(study.folder.path / "trial_0000")
    run.path.mkdir()
    run.set_status("running")
    keys = identity_keys(begun)
    write_text(run.config, to_yaml(begun))
    identity = identity_of(keys, "pictures", run.name)
    write_json(run.provenance, {"identity": [identity], "asked": keys})

    choice = bench._choice(now, run.name)

    assert choice.run == run
    assert list(choice.settings.hardware.gpus) == [1]
    assert choice.settings.hardware.threads == 1
    assert bench._choice(other, run.name).run is None


def test_an_interrupted_trial_is_given_back(study):
    """Ctrl-C is no death: the same trial comes next, however often."""
    queue, me = worker(study)
    with me.shown():
        for _ in range(MOST_STARTS + 1):
            trial = queue.take()
            assert trial.number == 0
            queue.give_back(trial)
    assert states(study) == ["WAITING"]


def test_there_are_as_many_trials_as_asked_for(study):
    """Failed ones count."""
    queue, me = worker(study)
    with me.shown():
        for number in range(3):
            trial = queue.take()
            state = optuna.trial.TrialState.FAIL if number == 1 else None
            queue.tell(trial, {}, values=None if state else [0.1], state=state)
        assert queue.take() is None


def test_proposals_depend_on_the_seed_and_the_number_alone(study, tmp_path):
    """A study that pauses after every trial proposes what one without a pause does."""
    settings = study.settings
    other = rejoined(tmp_path / "b", "study", settings, settings.tune.space, study.goals)
    queue, me = worker(study)
    with me.shown():
        whole = []
        for value in (0.1, 0.3, 0.2):
            trial = queue.take()
            whole.append(propose(study.space, trial))
            queue.tell(trial, {}, values=[value])
    paused = []
    for value in (0.1, 0.3, 0.2):
        again = rejoined(tmp_path / "b", "study", settings, settings.tune.space, study.goals)
        queue, me = worker(again)
        with me.shown():
            trial = queue.take()
            paused.append(propose(again.space, trial))
            queue.tell(trial, {}, values=[value])
        again.close()
    other.close()

    assert paused == whole
    assert len({each["optim.lr"] for each in whole}) == 3


@pytest.mark.parametrize("method", ["cmaes", "gp"])
def test_other_methods_propose_within_the_space(tmp_path, method):
    """Past their random start, too; without a warning of Optuna's."""
    space = {"optim.lr": "1e-4..1e-1,log", "optim.weight_decay": "0..0.2"}
    settings = from_flat({"tune.trials": 12, "tune.space": space, "tune.method": method})
    goals = (Goal("val_top1", maximize=True),)
    study = rejoined(tmp_path, "study", settings, settings.tune.space, goals)
    queue, me = worker(study)
    rates = []
    with me.shown():
        while (trial := queue.take()) is not None:
            rates.append(propose(study.space, trial)["optim.lr"])
            queue.tell(trial, {}, values=[-abs(rates[-1] - 0.01)])
    study.close()

    assert len(set(rates)) == 12
    assert all(1e-4 <= rate <= 0.1 for rate in rates)
