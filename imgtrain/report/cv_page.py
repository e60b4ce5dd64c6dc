"""``report.html`` of a cv run: the ensemble, its folds, and what they say together."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imgtrain.files import write_text
from imgtrain.metrics.label_quality import BELIEVED, agreement, label_noise, likely_wrong
from imgtrain.report.album import Album
from imgtrain.report.cv_figures import METRICS, curve_figures, scores_figure
from imgtrain.report.cv_reading import CvFiles, Fold, read_cv
from imgtrain.report.figures import Figure
from imgtrain.report.frame import framed, parts
from imgtrain.report.gallery import Reader, reader_of
from imgtrain.report.markup import (
    Column,
    chart,
    decimal,
    definitions,
    duration,
    name,
    percent,
    plural,
    section,
    sortable,
    text,
    whole,
)
from imgtrain.report.outcome import MOST_ROWS, outcome
from imgtrain.report.overview import findings, headline, part_to_show, pill
from imgtrain.report.record import data_facts, environment_section, left_out, settings_section
from imgtrain.report.times import times_section

_SHARES = {
    "top1": "Accuracy (top-1)",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
}
_NUMBERS = {"macro_auroc": "Macro AUROC", "log_loss": "Log loss"}


def write_cv_page(folder: Path, *, read: Reader | None = None, state: str | None = None) -> Path:
    """Show the cv run in ``folder`` as ``report.html``.

    Whatever is missing is left out of the page: folds that are not done, a test part.

    Args:
        folder: The cv run's folder, finished or not.
        read: The bytes of a picture by its path in ``folds.csv``; raises OSError or KeyError.
            Without it the pictures are looked for where the run found them.
        state: What the page says of the run, if not what ``status.json`` does.

    Returns:
        The page's path.

    Raises:
        DiskError: If the page cannot be written.
    """
    cv = read_cv(folder)
    if state is not None:
        cv = replace(cv, run=replace(cv.run, status={**cv.run.status, "state": state}))
    root = cv.run.provenance.get("data_root") or cv.run.settings.get("data.root")
    page = folder / "report.html"
    write_text(page, _rendered(cv, read or reader_of(root)))
    return page


def _rendered(cv: CvFiles, read: Reader | None) -> str:
    album = Album(read)
    outcomes = {
        part: found
        for part in ("test", "oof")
        if (found := outcome(cv.run, part, cv.run.predictions.get(part), album)) is not None
    }
    lead = outcomes.get(part_to_show(cv.run) or "")
    figures = curve_figures(cv)
    learning = _learning(cv, figures)
    compared = scores_figure(cv)
    if compared is not None:
        figures["cv-scores"] = compared
    for found in outcomes.values():
        figures.update(found.figures)
    body = [
        section(
            "overview",
            "How good the ensemble is",
            headline(cv.run),
            findings(cv.run, lead.notable if lead is not None else ()),
            _doubts(cv),
        ),
        section("folds", "Folds", _means(cv), _compared(compared), _fold_table(cv)),
        section("learning", "How the folds learned", learning),
        parts(outcomes),
        _data(cv),
        times_section(cv.run, figures),
        settings_section(cv.run),
        environment_section(cv.run),
    ]
    return framed(cv.run.name, _header(cv), body, outcomes, figures, pictures=album.cells)


def _header(cv: CvFiles) -> str:
    return (
        f"<header><div><h1>{name(cv.run.name)}</h1>{pill(cv.run)}</div>"
        f'<p class="lead">{" ".join(_sentences(cv))}</p></header>'
    )


def _sentences(cv: CvFiles) -> Iterator[str]:
    run = cv.run
    model, root = (run.settings.get(key) for key in ("model.name", "data.root"))
    what = f"<strong>{text(model)}</strong>" if model else "A model"
    per_repeat = len(cv.folds) // cv.repeats
    what += f" cross-validated in {plural(per_repeat, 'fold')}"
    if cv.repeats > 1:
        what += f", {cv.repeats} times"
    if root:
        what += f" on <strong>{name(str(root))}</strong>"
    if run.classes:
        what += f", {plural(len(run.classes), 'class', 'classes')}"
    yield f"{what}."
    how = _dict(cv.summary.get("ensemble")).get("how")
    if how:
        yield f"The ensemble combines the folds' models by {text(_HOW.get(str(how), how))}."
    if run.seconds is not None:
        yield f"It took {duration(run.seconds)}."


_HOW = {
    "mean": "the mean of their probabilities",
    "logits": "the mean of their logits",
    "vote": "voting",
    "greedy": "a weighted mean, the weights picked greedily",
}


def _dict(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _doubts(cv: CvFiles) -> str:
    """How many labels look wrong, and the command that lists them.

    Nothing where the models are wrong more often than right: their doubts say nothing of labels.
    """
    rows = cv.run.predictions.get("oof")
    if rows is None or agreement(rows.labels, rows.probs) < BELIEVED:
        return ""
    noise = label_noise(rows.labels, rows.probs)
    found = int(likely_wrong(rows.labels, rows.probs, noise, "class").sum())
    if not found:
        return ""
    return (
        f'<p class="note">{plural(found, "label")} of {whole(len(rows.paths))} in the folds may be '
        f"wrong: <code>imgtrain data audit {text(shlex.quote(str(cv.folder)))}</code> lists and "
        "shows them.</p>"
    )


def _means(cv: CvFiles) -> str:
    """Mean and spread of the folds' own scores, and what that means."""
    mean, std = (_dict(cv.summary.get(key)) for key in ("mean", "std"))
    ends = _dict(cv.summary.get("intervals"))
    facts = []
    for key, title in (_SHARES | _NUMBERS).items():
        if isinstance(mean.get(key), int | float):
            shown = percent if key in _SHARES else decimal
            value = f"<strong>{shown(mean[key])}</strong>"
            if isinstance(std.get(key), int | float):
                value += f" \u00b1\u00a0{shown(std[key]).removesuffix('%')}"
            if isinstance(ends.get(key), list):
                low, high = (shown(end).removesuffix("%") for end in ends[key])
                value += f"<br><small>95%: {low} \u2013 {high}</small>"
            facts.append((title, value))
    if not facts:
        return ""
    interval = (
        " 95% is the interval of the mean, made wider because the folds share training pictures "
        "(Nadeau & Bengio 2003)."
        if ends
        else ""
    )
    return (
        "<h3>Mean of the folds</h3>"
        + definitions(facts)
        + '<p class="note">\u00b1 is the standard deviation between folds, each scored on its own '
        "validation part: how far one training's score lies from another's. It is no interval of "
        "the ensemble, which is another model, and which the test part above judges. Validation "
        f"pictures chose each fold's best epoch, so these scores flatter a little.{interval}</p>"
    )


def _compared(figure: Figure | None) -> str:
    if figure is None:
        return ""
    note = (
        "Bars are 95% intervals. Two scores on the test part are of the same pictures, so they may "
        "differ for certain although their intervals overlap."
    )
    return chart("cv-scores", "Ensemble, best fold, each fold", note=note)


def _fold_table(cv: CvFiles) -> str:
    if not cv.folds:
        return ""
    several = cv.repeats > 1
    columns = [
        Column("Fold", "link"),
        *([Column("Repeat")] if several else []),
        Column("Trained on"),
        Column("Validated on"),
        Column("Best epoch"),
        *(Column(title, "percent") for title in _SHARES.values()),
        *(Column(title) for title in _NUMBERS.values()),
    ]
    best = cv.summary.get("best_fold")
    rows = [_fold_row(fold, best=fold.number == best, several=several) for fold in cv.folds]
    note = '<p class="note">A fold\'s name leads to its own page. Click a heading to sort.</p>'
    return note + sortable("Folds", columns, rows)


def _fold_row(fold: Fold, *, best: bool, several: bool) -> list[Any]:
    label = f"Fold {fold.number}{' (best)' if best else ''}"
    return [
        (label, fold.page),
        *([fold.repeat] if several else []),
        fold.train,
        fold.val,
        fold.best_epoch,
        *(_float(fold.scores.get(key)) for key in (_SHARES | _NUMBERS)),
    ]


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _learning(cv: CvFiles, figures: Mapping[str, Figure]) -> str:
    titles = {
        "folds-loss": ("Loss", "Dotted lines are training."),
        "folds-metric": (f"{METRICS[cv.metric]}, validation", ""),
    }
    places = [
        chart(key, title, note=note) for key, (title, note) in titles.items() if key in figures
    ]
    return f'<div class="charts two">{"".join(places)}</div>' if places else ""


def _data(cv: CvFiles) -> str:
    """Pictures per class and fold, and what was left out."""
    totals: dict[int, int] = {}
    for (_, fold), count in cv.counts.items():
        totals[fold] = totals.get(fold, 0) + count
    facts = [
        (_part_name(fold), whole(totals[fold]))
        for fold in sorted(totals)
        if len(totals) <= MOST_ROWS
    ]
    facts += data_facts(cv.run)
    return section("data", "Data", definitions(facts), left_out(cv.run), _class_counts(cv, totals))


def _part_name(fold: int) -> str:
    return f"Fold {fold}" if fold else "Test"


def _class_counts(cv: CvFiles, totals: Mapping[int, int]) -> str:
    if not cv.counts:
        return ""
    found = {label for label, _ in cv.counts}
    labels = [label for label in cv.run.classes if label in found]
    labels += sorted(found.difference(labels))
    parts_ = sorted(totals)
    sums = {label: sum(cv.counts.get((label, p), 0) for p in parts_) for label in labels}
    largest = max(sums.values()) or 1
    rows = [
        [
            label,
            *(cv.counts.get((label, p), 0) for p in parts_),
            (sums[label], sums[label] / largest),
        ]
        for label in labels[:MOST_ROWS]
    ]
    columns = [Column("Class", "name"), *(Column(_part_name(p)) for p in parts_)]
    return sortable("Pictures per class and fold", [*columns, Column("All", "bar")], rows)
