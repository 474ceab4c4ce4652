"""Files are whole or not there."""

import pytest

from deepsim_tf.files import written_aside


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_written_aside_replaces_the_old_one_whole(tmp_path):
    (tmp_path / "pairs.csv").write_text("old, and longer than the new one")
    with written_aside(tmp_path / "pairs.csv") as aside:
        aside.write_text("new")
        assert (tmp_path / "pairs.csv").read_text() == "old, and longer than the new one"
        assert aside.suffix == ".csv"
    assert contents(tmp_path) == {"pairs.csv": b"new"}


def test_a_block_that_raises_leaves_the_old_file_and_nothing_half_written(tmp_path):
    (tmp_path / "pairs.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt), written_aside(tmp_path / "pairs.csv") as aside:
        aside.write_text("half of the n")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]
    assert contents(tmp_path) == {"pairs.csv": b"old"}


def test_folders_are_written_aside_too_and_parents_are_made(tmp_path):
    with written_aside(tmp_path / "checkpoints" / "epoch_00001") as aside:
        aside.mkdir()
        (aside / "state.json").write_text("{}")
        assert not (tmp_path / "checkpoints" / "epoch_00001").exists()
    assert contents(tmp_path) == {"checkpoints/epoch_00001/state.json": b"{}"}
