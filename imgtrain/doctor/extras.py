"""What each extra of imgtrain adds. A new one in ``pyproject.toml`` shows up by itself."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from imgtrain.doctor.lines import Line
from imgtrain.doctor.packages import fits, installed, requirements

TOPIC = "Extras"

ADDS = {
    "classical": "models of scikit-learn on pixels or features (train --model sklearn:svm)",
    "dev": "what the project's own tests and checks need",
    "mlflow": "runs in an MLflow server's list (train --track mlflow)",
    "onnx": "models as ONNX files, checked against the original, and int8 (export)",
    "openvino": "models for OpenVINO (export)",
    "parquet": "manifests that are Parquet files (--data pictures.parquet)",
    "postgres": "searches that several machines share by way of PostgreSQL (tune --storage)",
    "prune": "smaller networks by leaving out channels (export)",
    "tensorboard": "curves in TensorBoard (train --track tensorboard)",
    "tracking": "all trackers at once",
    "wandb": "runs at Weights & Biases (train --track wandb)",
}
"""One sentence each; a test holds that none is missing."""


def extras() -> Iterator[Line]:
    """A line for each extra: installed, or what it would add and how."""
    for extra in sorted(metadata.metadata("imgtrain").get_all("Provides-Extra") or ()):
        if extra != "dev":
            yield _extra(extra)


def _extra(extra: str) -> Line:
    asked = requirements(extra)
    here = {each: installed(each.name) for each in asked}
    command = f'pip install "imgtrain[{extra}]"'
    adds = ADDS.get(extra) or ", ".join(each.name for each in asked)
    missing = [each.name for each, version in here.items() if version is None]
    if missing:
        return Line(TOPIC, extra, "note", f"not installed; adds {adds}", command)
    unfit = [f"{each.name} {v}" for each, v in here.items() if v and not fits(each, v)]
    if unfit:
        return Line(TOPIC, extra, "note", f"too old or too new: {', '.join(unfit)}", command)
    return Line(TOPIC, extra, "ok", ", ".join(f"{each.name} {v}" for each, v in here.items()))
