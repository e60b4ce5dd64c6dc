"""A worker: takes one trial after the other, until the study has those that were asked for."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imgtrain.data.folds import Folds
from imgtrain.errors import ImgtrainError
from imgtrain.preparing import Ground
from imgtrain.tuning.presence import Presence
from imgtrain.tuning.queue import Queue, all_trials, own
from imgtrain.tuning.results import Tally, write_trials
from imgtrain.tuning.storage import flocked, reached
from imgtrain.tuning.study import Study
from imgtrain.tuning.trial import Bench

FEW = 5
"""So many failures, and nothing but failures, end the study."""


@dataclass(slots=True)
class Shift:
    """What one worker is given.

    Args:
        study: The study.
        ground: The pictures.
        origins: Who set what.
        hardware: What its share of the machine decides.
        until: ``time.time()`` from which on no trial begins.
        told: Called whenever there is something new to show.
        folds: With ``--objective cv``: which fold validates which picture.
    """

    study: Study
    ground: Ground
    origins: Mapping[str, str]
    hardware: Mapping[str, Any] = field(default_factory=dict)
    until: float | None = None
    told: Callable[[], None] = lambda: None
    folds: Folds | None = None

    def work(self) -> None:
        """Run trials until all are over, or time is.

        Raises:
            ImgtrainError: Of the kind of the last failure, if there was nothing but failures.
        """
        study, failed = self.study, 0
        me = Presence(study.folder.path, study.storage)
        queue = Queue(study, me, is_over=self.is_late, stand_by=self.told)
        bench = Bench(study, queue, self.ground, self.origins, self.hardware, self.told, self.folds)
        with me.shown():
            while (trial := queue.take()) is not None:
                error = bench.run(trial)
                failed += error is not None
                self._tidy()
                if error is not None:
                    self._stop_if_hopeless(failed, error)

    def is_late(self) -> bool:
        """Whether no trial is to begin any more."""
        return self.until is not None and time.time() >= self.until

    def _tidy(self) -> None:
        """Between two trials: the table on disk, and memory given back."""
        with reached(self.study.place), flocked(self.study.folder.path / ".trials.lock"):
            write_trials(self.study)
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _stop_if_hopeless(self, failed: int, error: ImgtrainError) -> None:
        with reached(self.study.place):
            tally = Tally.of(all_trials(self.study.trials))
            few = min(FEW, self.study.settings.tune.trials)
            none_else = not tally.finished and not tally.pruned
            count = len(own(all_trials(self.study.trials)))
        if failed < few or not none_else:
            return
        kind = type(error)
        raise kind(f"all {min(failed, count)} trials failed, the last: {error.message}", error.hint)
