"""What a user reads after a mistake: the whole text, and the exit code."""

from pathlib import Path

import pytest

LIST = "  imgtrain config show lists all settings\n"
LR = (
    "  lr: Peak learning rate; auto fits it to optimizer, batch and start, "
    "find tests a range first.\n"
)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (
            ["trian"],
            (
                "error: there is no command 'trian'; did you mean 'train'?\n"
                "  commands: data, train, cv, tune, find-lr, evaluate, predict, export, explain, "
                "models, report, compare, find-batch-size, bench, config, init, doctor\n"
            ),
        ),
        (
            ["config", "shwo"],
            "error: there is no command 'shwo'; did you mean 'show'?\n  commands: show, schema\n",
        ),
        (
            ["config", "show", "--epoch", "3"],
            (
                "error: there is no option --epoch; did you mean '--epochs'?\n"
                "  imgtrain config show --help tells more\n"
            ),
        ),
        (
            ["train", "photos"],
            (
                "error: got unexpected extra argument(s) (photos)\n"
                "  pictures are named by --data, as in: imgtrain train --data photos\n"
            ),
        ),
        (
            ["data", "validate", "--data", "photos"],
            (
                "error: there is no option --data\n"
                "  the folder stands by itself, as in: imgtrain data validate photos\n"
            ),
        ),
        (
            ["config", "show", "--lr"],
            "error: option '--lr' requires an argument\n  imgtrain --help tells more\n",
        ),
        (
            ["config", "show", "--lr", "-1"],
            "error: optim.lr = '-1' (flag --lr) must be auto, find or a number above 0\n" + LR,
        ),
        (
            ["config", "show", "--lr", "inf"],
            "error: optim.lr = 'inf' (flag --lr) must be auto, find or a number above 0\n" + LR,
        ),
        (
            ["config", "show", "--device", "gpu", "-b", "0", "--drop-path", "1"],
            (
                "error: model.drop_path = '1' (flag --drop-path) must be "
                "a number from 0 to below 1\n"
                "train.batch_size = '0' (flag --batch-size) must be "
                "auto or a whole number above 0\n"
                "hardware.device = 'gpu' (flag --device) must be auto, cpu, cuda or mps\n"
                "  drop_path: Stochastic depth: share of residual branches left out "
                "(Huang et al. 2016).\n"
            ),
        ),
        (
            ["config", "show", "--set", "lr"],
            "error: --set lr has no =\n  write --set section.key=value\n",
        ),
        (
            ["config", "show", "--set", "lr=3"],
            "error: --set: there is no setting 'lr'; did you mean 'optim.lr'?\n" + LIST,
        ),
        (
            ["config", "show", "--set", "optm.lr=3"],
            "error: --set: there is no setting 'optm.lr'; did you mean 'optim.lr'?\n" + LIST,
        ),
        (
            ["config", "show", "--set", "optim.epochs=3"],
            "error: --set: there is no setting 'optim.epochs'; did you mean 'train.epochs' or "
            "'tune.epochs'?\n" + LIST,
        ),
        (
            ["config", "show", "--set", "data.image_sise=3"],
            "error: --set: there is no setting 'data.image_sise'; "
            "did you mean 'data.image_size'?\n" + LIST,
        ),
        (
            ["config", "show", "--lr", "1", "--set", "optim.lr=2"],
            "error: --lr and --set optim.lr set the same\n  leave out one of them\n",
        ),
        (
            ["config", "show", "--preset", "basics"],
            (
                "error: there is no starter file 'basics'; did you mean 'basic'?\n"
                "  starter files: advanced, basic, imbalanced, search\n"
            ),
        ),
        (
            ["config", "show", "--split-ratio", "0.7,0.1,0.1"],
            (
                "error: the shares of --split-ratio 0.7,0.1,0.1 add up to 0.9, not to 1\n"
                "  give shares of train, val and test, as in --split-ratio 0.8,0.1,0.1\n"
            ),
        ),
        (
            ["config", "show", "--split-ratio", "0,0.5,0.5"],
            (
                "error: --split-ratio 0,0.5,0.5 leaves nothing to train on\n"
                "  give train a share, as in --split-ratio 0.8,0.1,0.1\n"
            ),
        ),
        (
            ["config", "show", "--split-ratio", "0.8,0.2"],
            (
                "error: data.split_ratio = '0.8,0.2' (flag --split-ratio) must be "
                "three shares, as in 0.8,0.1,0.1\n"
                "  split_ratio: Shares of train, val and test where the data has no parts of its "
                "own.\n"
            ),
        ),
        (
            ["config", "show", "--global-batch-size", "100"],
            (
                "error: --global-batch-size 100 is not a multiple of --batch-size 64\n"
                "  try --global-batch-size 128, or --batch-size 50\n"
            ),
        ),
        (
            ["config", "show", "--global-batch-size", "128", "--accumulation-steps", "2"],
            (
                "error: --global-batch-size 128 derives the accumulation, --accumulation-steps 2 "
                "sets it\n  leave out one of them\n"
            ),
        ),
        (
            ["config", "show", "--amp", "--precision", "fp32"],
            (
                "error: --amp asks for mixed precision, --precision fp32 for none\n"
                "  leave out one of them\n"
            ),
        ),
        (
            ["config", "show", "--no-amp", "--precision", "bf16"],
            (
                "error: --no-amp asks for no mixed precision, --precision bf16 for one\n"
                "  leave out one of them\n"
            ),
        ),
        (
            ["config", "show", "--gpus", "0,1", "--device", "cpu"],
            "error: --gpus 0,1 asks for GPUs, --device for cpu\n  leave out one of them\n",
        ),
        (
            ["find-lr", "--model", "sklearn:svm"],
            (
                "error: find-lr measures training steps, --model sklearn:svm has none\n"
                "  take a network, or type imgtrain train --model sklearn:svm\n"
            ),
        ),
        (
            ["find-batch-size", "--model", "sklearn:knn"],
            (
                "error: find-batch-size measures training steps, --model sklearn:knn has none\n"
                "  take a network, or type imgtrain train --model sklearn:knn\n"
            ),
        ),
        (
            ["config", "show", "--gpus", "1,1"],
            "error: --gpus 1,1 names a GPU twice\n  name each GPU once\n",
        ),
        (
            ["config", "show", "--lr", "0.001", "--min-lr", "0.01"],
            "error: --min-lr 0.01 is above the peak, --lr 0.001\n  lower --min-lr or raise --lr\n",
        ),
        (
            ["config", "show", "--resume", "latest", "--fresh"],
            (
                "error: --resume latest goes on with a run, --fresh starts a new one\n"
                "  leave out one of them\n"
            ),
        ),
        (
            ["config", "show", "--name", "[red]x[red]", "--patience", "[bold]"],
            (
                "error: train.patience = '[bold]' (flag --patience) must be a whole number above 0 "
                "or none\n  patience: Stop after so many epochs without a better one.\n"
            ),
        ),
    ],
)
def test_on_the_command_line(imgtrain, argv, text):
    """Code 2, what was got, what would do, the way out."""
    assert imgtrain(*argv) == (2, "", text)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (
            "exp.yaml",
            "optim:\n  lr: -1\n",
            "error: optim.lr = -1 (file exp.yaml) must be auto, find or a number above 0\n" + LR,
        ),
        (
            "exp.yaml",
            "optim:\n  lr: true\n",
            "error: optim.lr = true (file exp.yaml) must be auto, find or a number above 0\n" + LR,
        ),
        (
            "exp.yaml",
            "optim:\n  lr: 0\n",
            "error: optim.lr = 0 (file exp.yaml) must be auto, find or a number above 0\n" + LR,
        ),
        (
            "exp.yaml",
            "optim:\n  lr: {peak: 1}\n",
            "error: optim.lr = a section (file exp.yaml) must be auto, find or a number above 0\n"
            + LR,
        ),
        (
            "exp.yaml",
            "optim:\n  lr: [1, null, yes, true, [0.5]]\n",
            (
                "error: optim.lr = [1, null, 'yes', true, [0.5]] (file exp.yaml) must be "
                "auto, find or a number above 0\n" + LR
            ),
        ),
        (
            "exp.yaml",
            "optm:\n  lr: 1\n",
            "error: exp.yaml: there is no section 'optm'; did you mean 'optim'?\n" + LIST,
        ),
        (
            "exp.yaml",
            "optim:\n  lrr: 1\n",
            "error: exp.yaml: there is no setting 'optim.lrr'; did you mean 'optim.lr'?\n" + LIST,
        ),
        (
            "exp.yaml",
            "epochs: 3\n",
            "error: exp.yaml: there is no setting 'epochs'; did you mean 'train.epochs' or "
            "'tune.epochs'?\n" + LIST,
        ),
        (
            "exp.yaml",
            "train: 3\n",
            (
                "error: exp.yaml: section 'train' is 3, not settings\n"
                "  write its settings below train:, each on a line of its own, indented\n"
            ),
        ),
        (
            "exp.yaml",
            "- 3\n",
            (
                "error: exp.yaml holds no sections of settings\n"
                "  imgtrain init writes a file to start from\n"
            ),
        ),
        (
            "exp.yaml",
            "train:\n  seed: 1\n  seed: 2\n",
            "error: cannot read exp.yaml: line 3: 'seed' stands here a second time\n",
        ),
        (
            "exp.yaml",
            "train: {seed: 1\n",
            "error: cannot read exp.yaml: line 2: expected ',' or '}', but got '<stream end>'\n",
        ),
        (
            "exp.yaml",
            "data:\n  background: #ff0000\n",
            (
                "error: data.background = null (file exp.yaml) must be "
                "white, black, grey or #rrggbb\n"
                "  leave the line out, or give a value; one that begins with # needs quotes\n"
            ),
        ),
        (
            "exp.yaml",
            "run:\n  name: 2026\n",
            (
                "error: run.name = 2026 (file exp.yaml) must be the name of a folder "
                "(no slashes) or none\n"
                "  put the value in quotes, so that it is text\n"
            ),
        ),
        (
            "exp.json",
            '{"train": {"seed": 1, "seed": 2}}',
            "error: cannot read exp.json: 'seed' stands twice in one section\n",
        ),
        (
            "exp.json",
            '{"train": \n{"seed": 1,}}',
            (
                "error: cannot read exp.json: Expecting property name enclosed in double quotes: "
                "line 2 column 12 (char 22)\n"
            ),
        ),
        (
            "exp.toml",
            "[train]\nseed =\n",
            "error: cannot read exp.toml: Invalid value (at line 2, column 7)\n",
        ),
        (
            "exp.toml",
            "[train]\nseed = -1\n",
            (
                "error: train.seed = -1 (file exp.toml) must be a whole number of at least 0\n"
                "  seed: Seed of weights, order, augmentation and dropout.\n"
            ),
        ),
    ],
)
def test_in_a_file(imgtrain, name, content, text):
    """The file is named, and its line where the file cannot be read."""
    Path(name).write_text(content, encoding="utf-8")

    assert imgtrain("config", "show", "-c", name) == (2, "", text)


def test_a_file_that_is_not_there(imgtrain):
    """The nearest file beside it is offered."""
    Path("base.yaml").touch()

    assert imgtrain("config", "show", "-c", "bsae.yaml") == (
        2,
        "",
        (
            "error: there is no settings file bsae.yaml; did you mean 'base.yaml'?\n"
            "  imgtrain init writes a file to start from\n"
        ),
    )


def test_files_that_are_no_text(imgtrain):
    """Folders and pictures are not settings."""
    Path("x.yaml").write_bytes(b"\xff\xfe\x00")
    Path("y.yaml").mkdir()

    assert imgtrain("config", "show", "-c", "x.yaml").err == (
        "error: cannot read x.yaml: it is not UTF-8 text\n"
    )
    assert imgtrain("config", "show", "-c", "y.yaml").err == (
        "error: cannot read y.yaml: Is a directory\n"
    )


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("IMGTRAIN_OPTM__LR", "IMGTRAIN_OPTIM__LR"),
        ("IMGTRAIN_OPTIM_LR", "IMGTRAIN_OPTIM__LR"),
        ("IMGTRAIN_OPTIM__LRR", "IMGTRAIN_OPTIM__LR"),
        ("IMGTRAIN_DEBUGG", "IMGTRAIN_DEBUG"),
    ],
)
def test_in_the_environment(imgtrain, monkeypatch, variable, near):
    """A misspelt section, key or separator is never ignored."""
    monkeypatch.setenv(variable, "1")

    assert imgtrain("config", "show") == (
        2,
        "",
        (
            f"error: environment variable {variable} names no setting; did you mean '{near}'?\n"
            "  they are named IMGTRAIN_SECTION__KEY, with two underscores between; "
            "imgtrain config show lists all settings\n"
        ),
    )


def test_a_value_in_the_environment(imgtrain, monkeypatch):
    """The variable is named, and an empty one is a value like any other."""
    monkeypatch.setenv("IMGTRAIN_RUN__NAME", "")

    assert imgtrain("config", "show") == (
        2,
        "",
        (
            "error: run.name = '' (environment IMGTRAIN_RUN__NAME) must be the name of a folder "
            "(no slashes) or none\n"
            "  name: Name of the run; from data and model when not given.\n"
        ),
    )


def test_every_command_checks_the_space(imgtrain):
    """Before it begins, with exit code 2."""
    code, out, err = imgtrain("train", "--set", "tune.space={optim.lr: 0..1}", "--offline")

    assert (code, out) == (2, "")
    assert err.startswith("error: tune.space: optim.lr = 0 must be auto, find or a number above 0")
