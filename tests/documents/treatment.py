"""How each documented command is treated in the test: run, made cheaper, or only checked, and why.

One table a question. A command that no line of a table names is run as typed.
"""

import re

from imgtrain.settings.classical import has_meaning

CHECKED = (
    (r"--gpus\b", "needs GPUs (tests/integration/test_gpus.py)"),
    (r"--device (cuda|mps)\b", "needs a GPU"),
    (r"--precision (tf32|fp16)\b", "needs a GPU"),
    (r"^(srun|torchrun)\b|torchrun ", "several machines (test_several_processes.py)"),
    (r"--processes [2-9]|--max-restarts", "processes of their own, each imports torch (as above)"),
    (r"--parallel\b|--jobs\b", "processes of their own (test_cv.py, test_tune.py)"),
    (r"--storage\b|postgresql", "needs a server (tests/integration/test_tune_postgres.py)"),
    (r"--pretrained\b(?! *'| *[a-z_]*\*)", "asks a hub for weights (test_hub.py)"),
    (r"^imgtrain data prepare imagenet", "wants 155 GB (tests/fetching/test_prepare.py)"),
    (r"^imgtrain find-batch-size|--batch-size auto|--auto-batch-size|-b auto",
     "a dozen processes (tests/integration/test_batch_size.py)"),
    (r"^imgtrain doctor", "two processes that import torch (tests/cli/test_doctor.py)"),
    (r"--network\b", "asks servers of the world (tests/cli/test_doctor.py)"),
    (r"^imgtrain (serve|.*--host|.*--port)", "goes on until it is stopped"),
    (r"--compile\b", "starts a compiler"),
    (r"^imgtrain find-lr|--lr find", "a process of its own (tests/integration/test_find_lr.py)"),
    (r"--plugin\b", "stays in the process (tests/plugins/test_guide.py runs the guide)"),
    (r"--track(ing)?[ =]", "starts a tracker (tests of the listeners)"),
    (r"^imgtrain export .*--(int8|prune|format)", "long (tests/integration/test_export.py)"),
    (r"--run \S+\.onnx", "wants an exported file (as above)"),
    (r"half\.safetensors", "goes on from a pruned network (as above)"),
    (r"\$SLURM|\$\{SLURM", "a variable of a cluster"),
    (r"^imgtrain .*(/shared/|/data/|/path/)", "a place that only the reader's machine has"),
)  # fmt: skip
"""Commands of ours whose parsing and settings alone are checked."""

COMPILED = (
    (
        r"\b(onnxruntime|openvino|tensorrt|coremltools)\b",
        "wants an exported model (tests of export)",
    ),
    (r"\b(requests|httpx|urllib|uvicorn|fastapi|flask)\b", "asks or is a server"),
    (r"\b(mlflow|wandb|tensorboard)\b", "wants a tracker's records"),
    (r"recipe\[\"preprocess\"\]", "goes on from one that is not run (as below)"),
    (r"\bserve_forever\b", "goes on until it is stopped (tests/integration/test_export.py)"),
)
"""Blocks of Python that are compiled, not run."""

FOREIGN = {
    "bash": "of a checkout",
    "cat": "a look at a file",
    "cd": "a folder of the reader's",
    "codespell": "a linter",
    "curl": "asks a server",
    "docker": "needs Docker",
    "git": "asks a server",
    "ls": "a look at a folder",
    "mlflow": "goes on until it is stopped",
    "mypy": "a linter",
    "pip": "installs from the network (.ci/run runs the README's)",
    "pre-commit": "changes a checkout",
    "pytest": "these tests",
    "python": "a script or module of the reader's",
    "python3": "as python",
    "ruff": "a linter",
    "scontrol": "needs Slurm",
    "source": "changes a shell",
    "sbatch": "needs Slurm",
    "tensorboard": "goes on until it is stopped",
    "trap": "a shell's",
    "validate-pyproject": "a linter",
    "wait": "a shell's",
    "wandb": "needs an account",
}
"""Programs of others, never run here."""

CHEAPER = (
    (r"(--trials) +\d+", r"\1 2"),
    (r"(--folds) +\d+", r"\1 2"),
    (r"(--repeats) +\d+", r"\1 1"),
    (r"(?<![\w-])(--model|-m) +(?!sklearn:|speednet|test_|two-layers)[\w./]+", r"\1 test_resnet"),
    (r" --features +\w+", ""),
    (r"(--model sklearn:\w+)(?!.*--weights)", r"\1 --features pixels"),
    (r"^(imgtrain models) .*\*.*", r"\1 'test_*'"),
    (r"(--image-sizes) +\S+", r"\1 24:0.5,32:0.5"),
    (r"(--image-size) +\d+", r"\1 32"),
    (r"--data photos\b(.* --group-by +[a-z_]+)$", r"--data photos.csv\1"),
    (r"(--fold) +\d+", r"\1 2"),
    (r"\bfold_\d", "fold_2"),
    (r"^(imgtrain bench data\b.*)", r"\1 --turns 1"),
)
"""What is written in place of what would take long; flags win over the variables of ``CHEAP``."""

CHEAP = {
    "IMGTRAIN_CV__FOLDS": "2",
    "IMGTRAIN_DATA__IMAGE_SIZE": "32",
    "IMGTRAIN_DATA__ON_LEAK": "off",
    "IMGTRAIN_DATA__WORKERS": "1",
    "IMGTRAIN_HARDWARE__DEVICE": "cpu",
    "IMGTRAIN_HARDWARE__THREADS": "1",
    "IMGTRAIN_MODEL__NAME": "test_resnet",
    "IMGTRAIN_MODEL__PRETRAINED": "false",
    "IMGTRAIN_TRAIN__BATCH_SIZE": "8",
    "IMGTRAIN_TRAIN__FAST_DEV": "true",
    "IMGTRAIN_TUNE__TRIALS": "2",
}
"""Variables under which every command runs."""

COSTLY = re.compile(r"^imgtrain (train|export|explain|evaluate)\b")
"""Trainings: one whose flags have all been run before is only checked."""

MOST = 5
"""Trainings of one document that the short tests run."""

HEAVY = re.compile(r"^imgtrain (cv|tune|bench)\b(?! --collect)")
"""Commands of many seconds: the first of its name is run."""

MAY_END = ((r"^imgtrain data validate", 3),)
"""Other exit codes than 0 that are as they should be: the sandbox has a broken picture."""

REPEATS = "like an earlier one, or one training too many (pytest -m long runs it)"


def cheap_for(text):
    """The variables for one command: a classical model refuses what means nothing to it."""
    if "sklearn:" not in text:
        return CHEAP
    kept = {name for name in CHEAP if has_meaning(name[9:].lower().replace("__", "."))}
    return {name: CHEAP[name] for name in kept - {"IMGTRAIN_MODEL__PRETRAINED"}}


def why_not_run(text):
    """Why a command of ours is only checked; None if it is run."""
    return next((why for pattern, why in CHECKED if re.search(pattern, text)), None)


def why_only_compiled(code):
    """Why a block of Python is not run; None if it is."""
    return next((why for pattern, why in COMPILED if re.search(pattern, code)), None)


def cheaper(text):
    """The command with less to do."""
    for pattern, instead in CHEAPER:
        text = re.sub(pattern, instead, text)
    return text
