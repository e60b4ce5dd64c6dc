"""Events of a training that never was."""

from imgtrain.events import EpochEnded, RunStarted, StepEnded

STEPS = 10
"""Steps of an epoch."""


def row(epoch, **changes):
    """An epoch's line; its numbers are easy to tell apart."""
    numbers = {
        "epoch": epoch,
        "step": STEPS * epoch,
        "lr": 0.001,
        "train_loss": 1 / epoch,
        "train_top1": 0.5,
        "val_loss": 0.25,
        "val_top1": 0.75,
        "val_top5": 1.0,
        "val_macro_f1": 0.7,
        "is_best": 0,
        "gpu_memory_mb": None,
        "seconds": 2.0,
        "images_per_second": 640.0,
    }
    return numbers | changes


def started(epoch=1, step=0, history=(), epochs=4):
    return RunStarted(
        epochs=epochs,
        steps_per_epoch=STEPS,
        epoch=epoch,
        step=step,
        history=tuple(history),
        monitor="val_top1",
    )


def stepped(epoch, step, **changes):
    numbers = {
        "lr": 0.001,
        "train_loss": 0.7,
        "train_top1": 0.6,
        "images_per_second": 1234.4,
        "memory_mb": 2345.6,
    }
    return StepEnded(
        epoch=epoch, step=step, global_step=(epoch - 1) * STEPS + step, **numbers | changes
    )


def ended(epoch, epochs=4, **changes):
    line = row(epoch, **changes)
    return EpochEnded(epoch=epoch, epochs=epochs, row=line, is_best=bool(line["is_best"]))
