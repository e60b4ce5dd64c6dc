"""Rules across settings; each names the flags concerned and the way out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

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


def check_batches(whole: int | None, *, batch: int | str, accumulation: int) -> None:
    """An effective batch is made of whole batches (or is part of one), and derives their number."""
    if whole is None:
        return
    if accumulation > 1:
        raise SettingsError(
            f"--global-batch-size {whole} derives the accumulation, "
            f"--accumulation-steps {accumulation} sets it",
            "leave out one of them",
        )
    if isinstance(batch, int) and whole > batch and whole % batch:
        near = max(1, round(whole / batch)) * batch
        fits = max(size for size in range(1, batch + 1) if whole % size == 0)
        raise SettingsError(
            f"--global-batch-size {whole} is not a multiple of --batch-size {batch}",
            f"try --global-batch-size {near}, or --batch-size {fits}",
        )


def check_sizes(size: int | str, sizes: str | None) -> None:
    """Pictures are scored at the last of progressive sizes."""
    last = sizes and sizes.rpartition(",")[2].partition(":")[0]
    if last and size not in ("auto", int(last)):
        raise SettingsError(
            f"--image-sizes {sizes} ends at {last} pixels, --image-size {size} scores at others",
            f"leave out --image-size, or let the sizes end at {size}",
        )


def check_budget(
    budget: float | None, *, schedule: str, realised: bool, sizes: bool, epochs: Sequence[str]
) -> None:
    """One thing decides on the length, and the schedule can be stretched.

    ``epochs`` are flags that name epochs of the training itself.
    """
    if budget is not None and epochs:
        raise SettingsError(
            f"{epochs[0]} counts epochs, and with --budget {budget:g} nobody knows how many there "
            "will be",
            "leave out one of them",
        )
    if budget is not None and realised:
        raise SettingsError(
            f"--budget {budget:g} measures how long to train, train.realised says it",
            "leave out one of them",
        )
    if realised and sizes:
        raise SettingsError(
            "train.realised holds the sizes of the pictures, --image-sizes sets others",
            "leave out one of them",
        )
    if (budget is not None or realised) and schedule == "plateau":
        raise SettingsError(
            "--lr-scheduler plateau cannot be fitted to a budget: nobody knows when it will drop",
            "take cosine, linear, onecycle, step, multistep or constant",
        )


def check_averages(*, ema: bool, last: int | None, epochs: int, early: Sequence[str]) -> None:
    """One kind of average, and of epochs that there are; ``early`` are flags that may end them."""
    if last is None:
        return
    if ema:
        raise SettingsError(
            f"--ema and --average-last {last} are two averages of the weights",
            "leave out one of them",
        )
    if early:
        raise SettingsError(
            f"--average-last {last} counts from the last of --epochs, {early[0]} may end the "
            "training before",
            "leave out one of them; --ema averages at any moment",
        )
    if last > epochs:
        raise SettingsError(
            f"--average-last {last} is more than --epochs {epochs}", "lower it, or raise --epochs"
        )


def check_attention(kind: str | None, *, index: int | None) -> None:
    """A stage is named for a block that there is."""
    if index is not None and kind is None:
        raise SettingsError(
            f"--attention-index {index} names a stage, and no attention is asked for",
            "add --attention se, eca or cbam, or leave it out",
        )


def check_thawing(freeze: int | str | None, epochs: Sequence[int] | None, *, total: int) -> None:
    """What thaws was frozen, part after part, within the training."""
    if epochs is None:
        return
    flag = f"--unfreeze-epochs {','.join(map(str, epochs))}"
    if freeze is None:
        raise SettingsError(
            f"{flag} thaws what nothing froze", "add --freeze backbone or --freeze N"
        )
    if any(later <= earlier for earlier, later in pairwise(epochs)):
        raise SettingsError(
            f"{flag}: one part thaws at each epoch, and they rise", "as in --unfreeze-epochs 3,6,9"
        )
    if epochs[0] == 1:
        raise SettingsError(
            f"{flag}: what thaws at epoch 1 was never frozen",
            "begin with a later epoch, or freeze one stage less",
        )
    if epochs[-1] > total:
        raise SettingsError(
            f"{flag} is beyond the end, --epochs {total}", "lower it, or raise --epochs"
        )
    if isinstance(freeze, int) and len(epochs) > freeze + 1:
        raise SettingsError(
            f"{flag} thaws {len(epochs)} parts, --freeze {freeze} freezes {freeze + 1} "
            f"(stem and {freeze} stages)",
            "leave out some of them",
        )


def check_probe(freeze: int | str | None, *, thaws: bool, layer_decay: float | None) -> None:
    """Where the classifier alone learns, there are no earlier layers to learn slower."""
    if freeze == "backbone" and not thaws and layer_decay is not None:
        raise SettingsError(
            f"--layer-decay {layer_decay:g} slows layers that --freeze backbone keeps as they are",
            "leave out one of them, or let stages thaw with --unfreeze-epochs",
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
    if amp is True and precision in ("fp32", "tf32"):
        raise SettingsError(
            f"--amp asks for mixed precision, --precision {precision} for none",
            "leave out one of them",
        )
    if amp is False and precision in ("bf16", "fp16"):
        raise SettingsError(
            f"--no-amp asks for no mixed precision, --precision {precision} for one",
            "leave out one of them",
        )


def check_sharing(fsdp: bool, others: Mapping[str, bool]) -> None:  # noqa: FBT001  # the setting
    """What needs the whole weights in every process does not go with sharing them out."""
    for flag, is_on in others.items():
        if fsdp and is_on:
            raise SettingsError(
                f"--fsdp shares the weights out over the processes, {flag} needs them whole",
                "leave out one of them",
            )


def check_gpus(gpus: Sequence[int] | None, *, device: str, processes: int) -> None:
    """GPUs by number are CUDA's, and each is named once."""
    if gpus is None:
        return
    text = ",".join(map(str, gpus))
    if device not in ("auto", "cuda"):
        raise SettingsError(
            f"--gpus {text} asks for GPUs, --device for {device}", "leave out one of them"
        )
    if processes not in (1, len(gpus)):
        raise SettingsError(
            f"--gpus {text} starts {len(gpus)} processes, --processes {processes} others",
            "leave out --processes",
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


def check_balance(strategy: str, *, loss: str, auto_weights: bool, given: bool) -> None:
    """Classes are evened out in one way, and there is one loss."""
    if strategy == "focal" and loss not in ("ce", "focal"):  # ce is the default
        raise SettingsError(
            f"--balance-strategy focal and --loss {loss} are two losses", "leave out one of them"
        )
    ways = {
        "--class-weights": given,
        "--auto-weights": auto_weights,
        f"--balance-strategy {strategy}": strategy not in ("none", "focal"),
    }
    if auto_weights and strategy == "weights":  # one and the same
        return
    asked = [flag for flag, is_on in ways.items() if is_on]
    if len(asked) > 1:
        raise SettingsError(
            f"{' and '.join(asked)} both even out the classes", "leave out one of them"
        )


def check_policy(policy: str, *, custom: bool) -> None:
    """The list of operations and the policy that wants it come together."""
    if policy == "custom" and not custom:
        raise SettingsError(
            "--augmentation-policy custom has no operations",
            "list them in augment.custom, as in [{name: rotate, args: {degrees: 15}, p: 0.5}]",
        )
    if custom and policy != "custom":
        raise SettingsError(
            f"augment.custom lists operations, --augmentation-policy {policy} does not use them",
            "add --augmentation-policy custom, or leave out augment.custom",
        )


def check_schedule(name: str, *, milestones: bool, warmups: Sequence[str]) -> None:
    """One warm-up, and the epochs of the drops for the schedule that wants them."""
    if len(warmups) > 1:
        raise SettingsError(
            f"{' and '.join(warmups)} both set the warm-up", "leave out all but one of them"
        )
    if name == "onecycle" and warmups:
        raise SettingsError(
            f"--lr-scheduler onecycle brings its own warm-up, {warmups[0]} sets another",
            "leave it out; --pct-start is the share of the training in which it rises",
        )
    if milestones != (name == "multistep"):
        raise SettingsError(
            "--lr-scheduler multistep needs --milestones"
            if name == "multistep"
            else f"--milestones belongs to --lr-scheduler multistep, not to {name}",
            "as in --lr-scheduler multistep --milestones 30,60,80",
        )


def check_loss(name: str, *, alpha: bool, weights: bool, pos_weight: bool) -> None:
    """What belongs to one loss is not given with another."""
    for flag, is_on, owner in (
        ("--focal-alpha", alpha, "focal"),
        ("--pos-weight", pos_weight, "bce"),
    ):
        if is_on and name != owner:
            raise SettingsError(
                f"{flag} belongs to --loss {owner}, not to {name}", "leave out one of them"
            )
    if alpha and weights:
        raise SettingsError(
            "--focal-alpha and --class-weights both weight the classes", "leave out one of them"
        )
