"""Where studies are kept, and what is said of a place that cannot be used."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import optuna
import pytest

from imgtrain.errors import OutsideError, SettingsError
from imgtrain.passwords import without_password
from imgtrain.settings.layers import from_flat
from imgtrain.tuning.storage import connected, file_place, place_of
from imgtrain.tuning.study import _name_there


def test_a_plain_postgres_url_gets_a_driver_and_shows_no_password():
    """``postgresql://`` is all that a user types; the password is for the server alone."""
    place = place_of("postgresql://ann:s3cret@db.example/studies")

    assert place.url.startswith("postgresql+pg8000://ann:s3cret@db.example/studies")
    assert place.shown == "postgresql://ann@db.example/studies"
    assert place.is_shared


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("nonsense", "is no URL"),
        ("sqlite://", "names no file"),
        ("mysql://ann:s3cret@db/x", "not in mysql"),
    ],
)
def test_other_places_are_refused(url, word):
    """What studies cannot be kept in is a mistake in the settings, told without the password."""
    with pytest.raises(SettingsError, match=word) as error:
        place_of(url)

    assert "s3cret" not in str(error.value)


def test_a_server_that_is_not_there_is_named_without_its_password():
    """One sentence of the outside world, exit code 4."""
    with pytest.raises(OutsideError) as error:
        connected(place_of("postgresql://ann:s3cret@127.0.0.1:9/studies"))

    assert str(error.value).startswith("cannot use postgresql://ann@127.0.0.1:9/studies: ")
    assert "s3cret" not in str(error.value)
    assert error.value.exit_code == 4


def test_passwords_of_urls_are_left_out():
    """A record of a command line holds none."""
    assert without_password("postgresql://a:b@c/d x://e:f@g") == "postgresql://a@c/d x://e@g"
    assert without_password("postgresql://a:b@c@d/e") == "postgresql://a@d/e"
    assert without_password("postgresql://d/e?user=a&password=b") == (
        "postgresql://d/e?user=a&password=***"
    )
    assert without_password("--lr 0.1") == "--lr 0.1"


def test_a_password_behind_the_question_mark_is_not_shown_either():
    """Drivers take it there; the server gets it, people do not see it."""
    place = place_of("postgresql://db.example/studies?user=ann&password=s3cret")

    assert "password=s3cret" in place.url
    assert "s3cret" not in place.shown


def test_tables_of_another_optuna_are_one_sentence(tmp_path):
    """A study that a later version made is not read, and says what to do."""
    place = file_place(tmp_path / "study.db")
    connected(place).engine.dispose()
    with closing(sqlite3.connect(tmp_path / "study.db")) as file:
        file.execute("update alembic_version set version_num = 'v99.0.0.a'")
        file.commit()

    with pytest.raises(OutsideError, match="another version of Optuna made its tables") as error:
        connected(place)
    assert "--upgrade optuna" in error.value.hint


def test_all_may_begin_at_the_same_moment(tmp_path):
    """Who makes the tables is a matter of chance, and nobody's failure."""
    at_once = threading.Barrier(4)

    def begin(path):
        at_once.wait()
        connected(file_place(path)).engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        for turn in range(2):
            list(pool.map(begin, [tmp_path / f"{turn}.db"] * 4))


def test_a_study_whose_beginner_died_at_once_is_taken(tmp_path):
    """Killed between its name and its settings: whoever comes next begins it; not with trials."""
    place = file_place(tmp_path / "shared.db")
    storage = connected(place)
    study = optuna.create_study(storage=storage, study_name="mine")
    asked = {"optim.lr": 0.1}

    assert _name_there(storage, place, "mine", asked, from_flat({})) == "mine"
    study.ask()
    with pytest.raises(Exception, match="was begun with other settings"):
        _name_there(storage, place, "mine", asked, from_flat({}))
    storage.engine.dispose()
