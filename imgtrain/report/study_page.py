"""``report.html`` of a study: what was found, how surely, and what each trial was."""

from __future__ import annotations

import html
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgtrain.errors import RunError
from imgtrain.files import write_text
from imgtrain.report.figures import Figure
from imgtrain.report.frame import framed
from imgtrain.report.markup import (
    DASH,
    chart,
    duration,
    name,
    plural,
    section,
    shown,
    text,
    whole,
)
from imgtrain.report.overview import pill
from imgtrain.report.reading import RunFiles, read_run
from imgtrain.report.record import environment_section, settings_section
from imgtrain.report.study_axes import slice_names
from imgtrain.report.study_figures import ENOUGH, study_figures
from imgtrain.report.study_reading import (
    Trials,
    about,
    at_the_edge,
    full_epochs,
    space_of,
    state_of,
)
from imgtrain.report.study_table import trial_table, written
from imgtrain.report.times import times_section
from imgtrain.settings.catalog import all_settings
from imgtrain.settings.layers import nested
from imgtrain.settings.strict_yaml import dump, parse

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

_MOST_REASONS = 5


def write_study_page(folder: Path, study: optuna.Study, *, state: str | None = None) -> Path:
    """Show a study as ``report.html``: with no trial finished, too.

    Args:
        folder: The study's folder; trials' folders lie in it, under their attribute ``run``.
        study: Optuna's study; trials say of themselves ``run``, ``epochs``, ``seconds``,
            ``error`` and ``from`` (where one that was not run here comes from).
        state: What the page says of the study, if not what ``status.json`` does.

    Returns:
        The page's path.

    Raises:
        DiskError: If the page cannot be written.
    """
    run = read_run(folder)
    space = space_of(run)
    if space:
        run = replace(run, settings={**run.settings, "tune.space": space})
    if state is not None:
        run = replace(run, status={**run.status, "state": state})
    page = folder / "report.html"
    write_text(page, _rendered(folder, run, Trials.of(study)))
    return page


def rewrite_study_page(folder: Path) -> Path:
    """Show the study whose trials are in ``study.db`` of its folder, finished or not.

    Raises:
        DiskError: If the page cannot be written.
        RunError: If its trials are in another database, or cannot be read.
    """
    import optuna
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import SQLAlchemyError

    path = folder / "study.db"
    if not path.is_file():
        raise RunError(
            f"the trials of {folder} are not in it: it was made with --storage",
            "type its command again: a study that is finished writes its page anew",
        )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = URL.create("sqlite", database=str(path)).render_as_string()
    try:
        storage = optuna.storages.RDBStorage(url, skip_compatibility_check=True)
        try:
            study = optuna.load_study(study_name=None, storage=storage)
            return write_study_page(folder, study)
        finally:
            storage.engine.dispose()
    except (SQLAlchemyError, KeyError, ValueError, optuna.exceptions.OptunaError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"{path} holds no study: {reason}") from error


def _rendered(folder: Path, run: RunFiles, trials: Trials) -> str:
    figures = study_figures(trials)
    body = [
        section("overview", "What was found", _cards(run, trials), _findings(trials)),
        section("best", "Best settings", _best(folder, run, trials)),
        section("search", "How the search went", _charts(trials, figures)),
        section("matters", "What matters", _matters(trials, figures)),
        section("slices", "Setting by setting", _slices(trials, figures)),
        section("trials", "Trials", trial_table(folder, trials), _reasons(trials)),
        times_section(run, figures),
        settings_section(run),
        environment_section(run),
    ]
    return framed(run.name, _header(run, trials), body, {}, figures)


def _header(run: RunFiles, trials: Trials) -> str:
    return (
        f"<header><div><h1>{name(run.name)}</h1>{pill(run)}</div>"
        f'<p class="lead">{" ".join(_sentences(run, trials))}</p></header>'
    )


def _sentences(run: RunFiles, trials: Trials) -> Iterator[str]:
    model, root, method, pruner, epochs = (
        run.settings.get(key)
        for key in ("model.name", "data.root", "tune.method", "tune.pruner", "tune.epochs")
    )
    keys = trials.keys()
    varied = plural(len(keys), "setting") if keys else "no settings yet"
    of = f" of <strong>{text(model)}</strong>" if model and "model.name" not in keys else ""
    on = f" on <strong>{name(str(root))}</strong>" if root else ""
    yield f"A search over {varied}{of}{on}."
    if method:
        rule = None if len(trials.names) > 1 else _PRUNERS.get(str(pruner))
        ends = f", cut short by {rule}" if rule else ""
        each = f" of {plural(epochs, 'epoch')}" if isinstance(epochs, int) else ""
        yield text(f"Trials{each}, proposed by {_METHODS.get(str(method), method)}{ends}.")


_METHODS = {
    "tpe": "tree-structured Parzen estimates",
    "random": "chance",
    "grid": "going through a grid",
    "cmaes": "CMA-ES",
    "gp": "a Gaussian process",
}
_PRUNERS = {"median": "the median rule", "hyperband": "Hyperband"}


def _cards(run: RunFiles, trials: Trials) -> str:
    best = next(iter(trials.ranked), None)
    goal = trials.names[0]
    which = "of all trials" if best is None else f"trial {best.number}"
    cards = [
        _card(f"Best {goal}", DASH if best is None else f"{best.values[0]:.4g}", which),
        _card("Trials", whole(len(trials.own)), _ended(trials)),
        _card("Time", duration(trials.seconds), "of all trials, one after the other"),
        *_cost(run, trials),
    ]
    note = (
        '<p class="note">The validation part decided, here on trials as on epochs: the best of '
        "many flatters. The test part was not read; "
        "<code>imgtrain tune --retrain</code> scores it once.</p>"
    )
    return f'<div class="cards four">{"".join(cards)}</div>{note}'


def _card(title: str, value: str, note: str) -> str:
    return (
        f'<div class="card"><span class="what">{text(title)}</span>'
        f'<span class="value">{value}</span><span class="ends">{text(note)}</span></div>'
    )


def _ended(trials: Trials) -> str:
    counts = {state: trials.count(state) for state in ("finished", "pruned", "failed", "running")}
    told = [f"{count} {state}" for state, count in counts.items() if count]
    elsewhere = len(trials.every) - len(trials.own)
    told += [f"{elsewhere} taken over"] if elsewhere else []
    return ", ".join(told) or "none has ended"


def _cost(run: RunFiles, trials: Trials) -> Iterator[str]:
    """Epochs trained, as a share of as many trainings at full length."""
    full, over = full_epochs(run.settings), sum(bool(about(t, "epochs")) for t in trials.own)
    if full and over:
        share = trials.epochs / (full * over)
        yield _card(
            "Cost",
            f"{100 * share:.0f}%",
            f"{plural(trials.epochs, 'epoch')}; {over} trainings of {full} would be 100%",
        )


def _findings(trials: Trials) -> str:
    """A few plain sentences on how far to trust the result."""
    found = list(_told(trials))
    return f'<ul class="findings">{"".join(f"<li>{each}</li>" for each in found)}</ul>'


def _told(trials: Trials) -> Iterator[str]:
    ranked = trials.ranked
    if not ranked:
        yield "No trial has finished, so there is nothing to compare yet."
        return
    if len(trials.names) > 1:
        yield (
            f"{len(trials.front)} of {plural(len(ranked), 'finished trial')} are beaten by none in "
            "both goals at once: choose among them."
        )
    if len(ranked) > 2:  # noqa: PLR2004  # a third to compare with
        gap = abs(ranked[0].values[0] - ranked[2].values[0])
        yield (
            f"The three best differ by {gap:.3g} in {text(trials.names[0])}; differences smaller "
            "than the interval of one training's score are chance."
        )
    for key, end in at_the_edge(ranked[0]).items():
        yield (
            f"The best <code>{text(key)}</code>, {text(written(ranked[0].params[key]))}, lies at "
            f"the {end} end of its range: widen it there."
        )
    if len(trials.finished) < ENOUGH:
        yield f"Fewer than {ENOUGH} trials have finished: importances would be guesses."


def _best(folder: Path, run: RunFiles, trials: Trials) -> str:
    best = next(iter(trials.ranked), None)
    if best is None:
        return ""
    values = _found(folder, best)
    told = html.escape(dump(nested(values)).rstrip("\n"))
    command = f"imgtrain train -c {shlex.quote(str(folder / 'best_config.yaml'))}"
    copying = '<button type="button" class="copy" data-copy="best-settings" hidden>Copy</button>'
    return (
        f'<p class="note">Of trial {best.number}. A full training with them, and all that the '
        f"study shares: <code>{text(command)}</code></p>"
        f'<div class="copied">{copying}<pre id="best-settings"><code>{told}</code></pre>'
        f"</div>{_differences(run, values)}"
    )


def _found(folder: Path, best: FrozenTrial) -> dict[str, Any]:
    """As ``best_params.yaml`` has it, where it is there: lists are lists in it."""
    try:
        found = parse((folder / "best_params.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return dict(best.params)
    return found if isinstance(found, dict) and found.keys() == best.params.keys() else best.params


def _differences(run: RunFiles, values: Mapping[str, Any]) -> str:
    """The best value of each setting beside what it would have been, and what was searched."""
    known, space = all_settings(), space_of(run)
    rows = "".join(
        f'<tr><th scope="row"><code>{text(key)}</code></th>'
        f'<td class="set">{text(written(values[key])) if key in values else DASH}</td>'
        f"<td>{text(shown(run.settings.get(key, known[key].default)))}</td>"
        f"<td>{text(space.get(key, DASH))}</td><td>{text(known[key].help)}</td></tr>"
        for key in dict.fromkeys((*space, *values))
        if key in known
    )
    heads = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("Setting", "Best", "Otherwise", "Searched", "Meaning")
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Best settings">'
        f'<table class="settings"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _charts(trials: Trials, figures: Mapping[str, Figure]) -> str:
    several = len(trials.names) > 1
    places = [
        (f"history-{place}", f"{text(goal)} over trials" if several else "Best so far")
        for place, goal in enumerate(trials.names)
    ]
    places += [("courses", "Epoch by epoch"), ("front", "Goals against each other")]
    drawn = [chart(key, title) for key, title in places if key in figures]
    return f'<div class="charts two">{"".join(drawn)}</div>' if drawn else ""


def _matters(trials: Trials, figures: Mapping[str, Figure]) -> str:
    drawn = []
    if "importances" in figures:
        note = (
            f"How much of the differences in {text(trials.names[0])} each setting explains, by "
            f"{len(trials.finished)} finished trials (PED-ANOVA, Watanabe et al. 2023)."
        )
        drawn.append(chart("importances", "Importance", legend=False, note=note))
    if "parallel" in figures:
        best = "the best is orange" if len(trials.names) == 1 else "those that none beats most"
        note = f"Each line is a finished trial; better ones are stronger, {best}."
        wide = chart("parallel", "All settings at once", legend=False, note=note)
        drawn.append(
            f'<div class="wide" tabindex="0" role="region" aria-label="All settings">{wide}</div>'
        )
    return "\n".join(drawn)


def _slices(trials: Trials, figures: Mapping[str, Figure]) -> str:
    places = {place: key for place, key in slice_names(trials).items() if place in figures}
    drawn = [chart(place, text(key), legend=False) for place, key in places.items()]
    if not drawn:
        return ""
    note = '<p class="note">Finished trials; the stronger, the later.</p>'
    return f'{note}<div class="charts three">{"".join(drawn)}</div>'


def _reasons(trials: Trials) -> str:
    """Why trials failed, the most frequent reason first."""
    told = Counter(
        str(trial.user_attrs.get("error", "for reasons not told"))
        for trial in trials.own
        if state_of(trial) == "failed"
    )
    if not told:
        return ""
    items = "".join(
        f"<li>{text(reason)} <small>({plural(count, 'trial')})</small></li>"
        for reason, count in told.most_common(_MOST_REASONS)
    )
    return f'<h3>Why trials failed</h3><ul class="findings">{items}</ul>'
