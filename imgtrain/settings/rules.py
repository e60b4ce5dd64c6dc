"""Rules across settings; each names the flags concerned and the way out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imgtrain.errors import SettingsError


def check_shares(ratio: Sequence[float]) -> None:
    """Shares of train, val and test add up to 1, and leave something to train on."""
    text = ",".join(f"{share:g}" for share in ratio)
    if not math.isclose(sum(ratio), 1, abs_tol=1e-6):
        raise SettingsError(
            f"the shares of --split-ratio {text} add up to {sum(ratio):g}, not to 1",
            "give shares of train, val and test, as in --split-ratio 0.8,0.1,0.1",
        )
    if ratio[0] == 0:
        raise SettingsError(
            f"--split-ratio {text} leaves nothing to train on",
            "give train a share, as in --split-ratio 0.8,0.1,0.1",
        )


def check_batches(whole: int | None, *, batch: int, accumulation: int) -> None:
    """An effective batch is made of whole batches (or is part of one), and derives their number."""
    if whole is None:
        return
    if accumulation > 1:
        raise SettingsError(
            f"--global-batch-size {whole} derives the accumulation, "
            f"--accumulation-steps {accumulation} sets it",
            "leave out one of them",
        )
    if whole > batch and whole % batch:
        near = max(1, round(whole / batch)) * batch
        raise SettingsError(
            f"--global-batch-size {whole} is not a multiple of --batch-size {batch}",
            f"try --global-batch-size {near}, or --batch-size {math.gcd(whole, batch)}",
        )


def check_rates(peak: float, *, warmup_lr: float, min_lr: float) -> None:
    """The peak of the learning rate is its highest value."""
    for flag, value in (("--warmup-lr", warmup_lr), ("--min-lr", min_lr)):
        if value > peak:
            raise SettingsError(
                f"{flag} {value:g} is above the peak, --lr {peak:g}", f"lower {flag} or raise --lr"
            )


def check_precision(*, amp: bool | None, precision: str) -> None:
    """``--amp`` and ``--precision`` agree on whether precision is mixed."""
    if amp is True and precision == "fp32":
        raise SettingsError(
            "--amp asks for mixed precision, --precision fp32 for none", "leave out one of them"
        )
    if amp is False and precision == "bf16":
        raise SettingsError(
            "--no-amp asks for no mixed precision, --precision bf16 for one",
            "leave out one of them",
        )


def check_gpus(gpus: Sequence[int] | None, *, device: str) -> None:
    """GPUs by number are CUDA's, and each is named once."""
    if gpus is None:
        return
    text = ",".join(map(str, gpus))
    if device not in ("auto", "cuda"):
        raise SettingsError(
            f"--gpus {text} asks for GPUs, --device for {device}", "leave out one of them"
        )
    if len(set(gpus)) < len(gpus):
        raise SettingsError(f"--gpus {text} names a GPU twice", "name each GPU once")


def check_start(*, resume: str | None, fresh: bool) -> None:
    """A run goes on or starts anew."""
    if resume is not None and fresh:
        raise SettingsError(
            f"--resume {resume} goes on with a run, --fresh starts a new one",
            "leave out one of them",
        )
