import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from concrete_study.datasets.files import (
    cache_folder,
    file_sha256,
    replacing,
    replacing_folder,
    write_json,
    write_text,
)


def test_a_file_is_replaced_atomically_and_its_folders_are_created(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "notes.txt"
    write_text(path, "first\n")
    write_text(path, "zweite ß\n")
    assert path.read_text(encoding="utf-8") == "zweite ß\n"
    assert [p.name for p in path.parent.iterdir()] == ["notes.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_the_old_file_stays_when_the_writer_fails(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the new")
        assert path.read_text() == "old"
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert path.read_text() == "old"


def test_the_temporary_file_is_hidden_and_in_the_same_folder(tmp_path: Path) -> None:
    with replacing(tmp_path / "trials" / "0001.json") as temporary:
        assert temporary.parent == tmp_path / "trials"
        assert temporary.name.startswith(".")
        assert not temporary.name.endswith(".json")


def test_a_new_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "notes.txt"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_invalid_json_is_refused_and_the_old_file_stays(value: object, tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    write_json(path, {"name": "first", "classes": ["Riß"]})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, {"score": value})
    assert json.loads(path.read_text()) == {"name": "first", "classes": ["Riß"]}
    assert [p.name for p in tmp_path.iterdir()] == ["study.json"]


def test_a_folder_is_replaced_atomically_or_stays(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with replacing_folder(tmp_path / "best") as folder:
            (folder / text).write_text(text)
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "best") as folder:
        (folder / "third").write_text("third")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["second"]


def test_a_folder_that_cannot_be_renamed_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replacing_folder(tmp_path / "best") as folder:
        (folder / "first").touch()
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == ".best.new":
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt), replacing_folder(tmp_path / "best"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["first"]


def test_a_folder_that_a_kill_left_renamed_is_restored(tmp_path: Path) -> None:
    (tmp_path / ".best.old").mkdir()
    (tmp_path / ".best.old" / "first").touch()
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "best"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    assert (tmp_path / "best" / "first").exists()


def test_the_digest_depends_on_the_content(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(300_000))
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_variable_sets_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", "/somewhere/else")
    assert cache_folder() == Path("/somewhere/else")
    monkeypatch.setenv("STUDY_CACHE_DIR", "")
    assert cache_folder().name == "concrete-study"


WRITE_AND_WAIT = """
import sys, time
from pathlib import Path
from concrete_study.datasets.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(600)
"""


def test_a_killed_writers_temporary_file_is_removed_and_a_running_ones_is_not(
    tmp_path: Path,
) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_AND_WAIT, str(tmp_path / name)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("0001.json", "0002.json")
    ]
    try:
        killed, running = (
            Path(writer.stdout.readline().strip()) for writer in writers if writer.stdout
        )
        writers[0].kill()
        writers[0].wait()
        assert killed.exists()
        foreign = [tmp_path / f".{name}.0123abcd-1-abcdefgh" for name in ("new", "old")]
        for path in (*foreign, tmp_path / ".0003.json.user"):
            path.touch()
        two_days_ago = time.time() - 2 * 86_400
        os.utime(foreign[1], (two_days_ago, two_days_ago))
        write_text(tmp_path / "notes.txt", "")  # not the file that the killed one wrote
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"notes.txt", running.name, foreign[0].name, ".0003.json.user"}
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
