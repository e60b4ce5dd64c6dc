"""The page of a study: whatever its trials came to."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
import optuna
import pytest
from sqlalchemy.engine import URL

from imgtrain.errors import RunError
from imgtrain.report.study_page import rewrite_study_page, write_study_page
from imgtrain.settings.layers import from_flat, to_yaml

optuna.logging.set_verbosity(optuna.logging.WARNING)


def make_study(
    folder, states, *, goals=("val_top1",), models=("resnet18", "small"), seed=0, storage=None
):
    """A study whose trials end as ``states`` say, in a folder with what a study writes."""
    rng = np.random.default_rng(seed)
    directions = ["maximize", "minimize"][: len(goals)]
    study = optuna.create_study(
        directions=directions, sampler=optuna.samplers.RandomSampler(seed=seed), storage=storage
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental, says Optuna
        study.set_metric_names(list(goals))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").write_text('{"state": "finished", "kind": "tune"}')
    (folder / "config.yaml").write_text(to_yaml(from_flat({"tune.epochs": 4})))
    for number, state in enumerate(states):
        trial = study.ask()
        rate = trial.suggest_float("optim.lr", 1e-4, 1e-1, log=True)
        kind = trial.suggest_categorical("optim.name", ["adamw", "sgd"])
        if kind == "sgd":
            trial.suggest_float("optim.momentum", 0.8, 0.95)
        trial.suggest_categorical("optim.clip_norm", [None, 1.0])
        trial.suggest_categorical("model.name", list(models))
        top1 = 0.95 - 0.1 * abs(np.log10(rate) + 2.5) + 0.01 * rng.normal()
        epochs = 4 if state == "finished" else 2
        if len(goals) == 1:
            for epoch in range(epochs):
                trial.report(top1 - 0.3 / (epoch + 1), epoch)
        trial.set_user_attr("run", f"trial_{number:04d}")
        trial.set_user_attr("epochs", epochs)
        trial.set_user_attr("seconds", 1.5 * epochs)
        if state == "finished":
            (folder / f"trial_{number:04d}").mkdir()
            (folder / f"trial_{number:04d}" / "report.html").write_text("a trial")
            study.tell(trial, [top1, 5 + rng.normal()][: len(goals)])
        elif state == "pruned":
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif state == "failed":
            trial.set_user_attr("error", "--min-lr 0.1 is above <the> peak")
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return study


MIXED = ["finished", "finished", "pruned", "finished", "failed", "finished", "pruned"] * 6


def figures_of(page):
    found = re.search(
        r'<script type="application/json" id="figures">(.*?)</script>', page.read_text(), re.DOTALL
    )
    return json.loads(found[1])


def visible(page):
    """The words of the page's body, without its scripts."""
    body = page.read_text().split("<main>")[1].split("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A page of 42 trials, its study and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "digits-resnet18"
    study = make_study(folder, MIXED)
    (folder / "best_params.yaml").write_text(
        "".join(f"{k}: {'null' if v is None else v}\n" for k, v in study.best_params.items())
    )
    return write_study_page(folder, study), study, folder


def test_the_page_tells_what_was_found(searched):
    """The best value and trial, how trials ended, what they cost, why some failed."""
    page, study, folder = searched
    told = visible(page)

    assert f"Best val_top1 {study.best_value:.4g} trial {study.best_trial.number}" in told
    assert "Trials 42 24 finished, 12 pruned, 6 failed" in told
    # 24 x 4 + 18 x 2 epochs, and 42 x 30 of full trainings
    assert "Cost 10% 132 epochs; 42 trainings of 30 would be 100%" in told
    assert "Time 3 min 18&nbsp;s" in told or "3\u00a0min 18\u00a0s" in page.read_text()
    assert "--min-lr 0.1 is above &lt;the&gt; peak (6 trials)" in told
    assert f"imgtrain train -c {folder}/best_config.yaml" in told
    for key, value in study.best_params.items():
        assert f"{key} {value:.4g}" if isinstance(value, float) else key in told


def test_the_charts_are_optunas(searched):
    """Points, importances and axes are what Optuna's own functions give."""
    page, study, _ = searched
    drawn = figures_of(page)
    finished = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))

    points, best = drawn["history-0"]["data"]
    assert dict(zip(points["x"], points["y"], strict=True)) == {t.number: t.value for t in finished}
    assert best["y"][-1] == study.best_value
    keys = ["optim.lr", "optim.name", "optim.clip_norm", "model.name"]  # momentum: too few had it
    shares = optuna.importance.get_param_importances(study, params=keys)
    bars = drawn["importances"]["data"][0]
    assert dict(zip(bars["y"], bars["x"], strict=True)) == {
        key: round(share, 4) for key, share in shares.items()
    }
    assert len(drawn["parallel"]["data"]) == len(finished)
    assert drawn["parallel"]["data"][-1]["y"][0] == 1  # the best lies on top
    slices = [figure for name, figure in drawn.items() if name.startswith("slice-")]
    assert len(slices) == 5
    assert drawn["slice-0"]["layout"]["xaxis"]["type"] == "log"
    assert drawn["slice-0"]["data"][0]["x"] == [t.params["optim.lr"] for t in finished]
    assert len(drawn["courses"]["data"]) == len(MIXED)


@pytest.mark.parametrize(
    ("states", "charts"),
    [
        ([], set()),
        (["finished"], {"history-0"}),
        (["failed"], set()),
        (["running"], set()),
        (["pruned"] * 3, {"courses"}),
        (["finished", "pruned"], {"history-0", "courses"}),
        (["finished"] * 3, {"history-0", "courses", "parallel", "slice-0", "slice-1", "slice-2"}),
    ],
)
def test_studies_with_few_trials_have_a_page(tmp_path, states, charts):
    """What cannot be said yet is left out; nothing fails."""
    page = write_study_page(tmp_path / "study", make_study(tmp_path / "study", states))

    assert figures_of(page).keys() >= charts
    assert ("No trial has finished" in visible(page)) == ("finished" not in states)
    assert "importances" not in figures_of(page)


def test_trials_of_one_value_have_no_importance(tmp_path):
    """Where all are equally good, nothing explains a difference."""
    folder = tmp_path / "study"
    study = make_study(folder, [])
    for rate in np.linspace(0.1, 0.9, 10):
        params = {"optim.lr": float(rate), "optim.name": "sgd"}
        ends = {
            "optim.lr": optuna.distributions.FloatDistribution(0, 1),
            "optim.name": optuna.distributions.CategoricalDistribution(["sgd", "adamw"]),
        }
        study.add_trial(optuna.trial.create_trial(value=0.5, params=params, distributions=ends))

    assert "importances" not in figures_of(write_study_page(folder, study))


def test_two_goals_show_their_front(tmp_path):
    """The trials that none beats in both goals are Optuna's ``best_trials``."""
    folder = tmp_path / "study"
    study = make_study(folder, ["finished"] * 20, goals=("val_top1", "latency_ms"))

    page = write_study_page(folder, study)

    beaten, front = figures_of(page)["front"]["data"]
    best = {trial.number for trial in study.best_trials}
    assert set(front["customdata"]) == best
    assert len(beaten["customdata"]) == 20 - len(best)
    assert f"{len(best)} of 20 finished trials are beaten by none" in visible(page)
    assert {"history-0", "history-1", "parallel"} <= figures_of(page).keys()


def test_an_end_of_a_range_is_pointed_out(tmp_path):
    """The best value at the edge of its range says that the range is too narrow."""
    folder = tmp_path / "study"
    study = make_study(folder, [])
    ends = {"optim.lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)}
    for rate, value in ((9e-2, 0.9), (1e-3, 0.8), (1e-2, 0.7)):
        study.add_trial(
            optuna.trial.create_trial(value=value, params={"optim.lr": rate}, distributions=ends)
        )

    told = visible(write_study_page(folder, study))

    assert "optim.lr , 0.09, lies at the highest end of its range: widen it there" in told
    assert "The three best differ by 0.2 in val_top1" in told


def test_the_page_is_made_again_from_the_folder(tmp_path):
    """From ``study.db`` alone; where that is not there, or is none, one sentence says so."""
    folder = tmp_path / "a 100% study?"
    folder.mkdir()
    with pytest.raises(RunError, match="it was made with --storage"):
        rewrite_study_page(folder)
    (folder / "study.db").write_text("no database")
    with pytest.raises(RunError, match=r"study\.db holds no study: .*file is not a database$"):
        rewrite_study_page(folder)
    (folder / "study.db").unlink()
    url = URL.create("sqlite", database=str(folder / "study.db")).render_as_string()
    storage = optuna.storages.RDBStorage(url)
    page = write_study_page(folder, make_study(folder, ["finished"] * 3, storage=storage))
    storage.engine.dispose()
    before = page.read_text()
    page.unlink()

    assert rewrite_study_page(folder) == page
    assert page.read_text() == before
