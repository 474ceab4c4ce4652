"""A folder of FreeSurfer subjects: which are taken, splits, the atlas, killed and repeated runs."""

import os

import nibabel as nib
import numpy as np
import pytest
from freesurfer_scene import OBLIQUE, SCENE, prepare, read, splits, write_subject

from deepsim_tf.data.freesurfer import subject as freesurfer_subject
from deepsim_tf.data.freesurfer.prepare import prepare_brain_mri
from deepsim_tf.data.sets.brain_mri import IMAGE, LABELS


def test_norm_and_aparc_come_before_brain_and_aseg(root, coarse):
    both = write_subject(root, "s1")
    for other, name in (("brain", "norm"), ("aseg", "aparc+aseg")):
        data = np.asarray(nib.load(both / f"{name}.mgz").dataobj)
        nib.save(nib.MGHImage(data[::-1].copy(), OBLIQUE), both / f"{other}.mgz")
    write_subject(root, "s2", files=("brain", "aseg"))
    prepare(root)
    for first, second in zip(
        read(root.parent / "out" / "data" / "s1"), read(root.parent / "out" / "data" / "s2"), strict=True
    ):
        np.testing.assert_array_equal(first.dataobj, second.dataobj)


def test_only_folders_with_mri_are_subjects_and_links_to_fsaverage_are_not(root, coarse):
    write_subject(root.parent, "elsewhere")
    write_subject(root.parent, "fsaverage")
    (root / "linked").symlink_to(root.parent / "elsewhere")
    (root / "fsaverage").symlink_to(root.parent / "fsaverage")
    (root / "average").symlink_to(root.parent / "fsaverage")
    (root / "logs").mkdir()
    (root / "notes.txt").touch()
    write_subject(root, "001")
    assert prepare(root).subjects == ["001", "linked"]


def test_a_second_run_rewrites_nothing(root, coarse):
    for name in ("a", "b", "c"):
        write_subject(root, name)
    first = prepare(root)
    files = {path: path.stat().st_mtime_ns for path in (root.parent / "out").rglob("*")}
    write_subject(root, "d", None)
    second = prepare(root)
    assert second.subjects == first.subjects and second.atlas == first.atlas and list(second.failed) == ["d"]
    assert {path: path.stat().st_mtime_ns for path in (root.parent / "out").rglob("*")} == files


def test_a_killed_run_leaves_whole_subjects_and_the_next_one_completes_it(root, coarse, fresh_python):
    for name in ("a", "b", "c"):
        write_subject(root, name)
    code = """
import os, signal, nibabel
from deepsim_tf.data.freesurfer import prepare as freesurfer, subject as freesurfer_subject
freesurfer_subject.GRID_SHAPE = (20, 24, 28)
freesurfer_subject.GRID_AFFINE = freesurfer_subject.GRID_AFFINE * [8, 8, 8, 1]
saved, save = [], nibabel.save
def save_three(*args):
    if len(saved) == 3:  # the labels of the second subject
        os.kill(os.getpid(), signal.SIGKILL)
    saved.append(save(*args))
freesurfer_subject.nib.save = save_three
freesurfer.prepare_brain_mri(os.environ["SUBJECTS"], os.environ["OUT"], jobs=1, verbose=0)
"""
    out = root.parent / "out"
    assert fresh_python(code, SUBJECTS=str(root), OUT=str(out)).returncode == -9
    assert [path.name for path in (out / "data").iterdir() if not path.name.startswith(".")] == ["a"]
    assert any(path.name.startswith(".b-") for path in (out / "data").iterdir()) and not (out / "metadata.csv").exists()
    written = (out / "data" / "a" / LABELS).stat().st_mtime_ns
    result = prepare(root)
    assert result.subjects == ["a", "b", "c"] and (out / "data" / "a" / LABELS).stat().st_mtime_ns == written
    assert sorted(splits(out)) == [name for name in "abc" if name != result.atlas]
    for name in "abc":
        assert [np.asarray(file.dataobj).any() for file in read(out / "data" / name)] == [True, True]


def test_a_folder_without_labels_is_not_taken_for_a_subject(root, coarse):
    write_subject(root, "a")
    write_subject(root, "b")
    prepare(root)
    (root.parent / "out" / "data" / "b" / LABELS).unlink()
    assert "has no seg_coalesced_aligned.nii.gz. Remove the folder" in prepare(root).failed["b"]


def test_splits_follow_the_fractions_and_never_change(root, coarse):
    small = (SCENE[0], SCENE[1])
    for number in range(6):
        write_subject(root, f"s{number}", *small)
    out = root.parent / "out"
    first = prepare(root)
    before = splits(out)
    assert sorted(before.values()) == ["test", "train", "train", "train", "val"] and first.atlas not in before
    for number in range(10):
        write_subject(root, f"a{number}", *small)
    second = prepare(root, seed=5)
    after = splits(out)
    assert second.atlas == first.atlas and len(after) == 15 and {name: after[name] for name in before} == before
    assert [list(after.values()).count(split) for split in ("train", "val", "test")] == [9, 3, 3]


def test_the_seed_decides_the_order(root, coarse):
    for number in range(6):
        write_subject(root, f"s{number}")
    results = {seed: prepare(root, root.parent / f"out{k}", seed=seed).atlas for k, seed in enumerate((0, 0, 1, 2, 3))}
    assert splits(root.parent / "out0") == splits(root.parent / "out1") and len(set(results.values())) > 1


def test_rows_written_beforehand_are_kept(root, coarse):
    for name in ("001", "002", "NA"):
        write_subject(root, name)
    out = root.parent / "out"
    out.mkdir()
    (out / "metadata.csv").write_text("subject_id,age,SPLIT\nNA,40,test\n002,41,test\n")
    prepare(root, atlas="001")
    assert (out / "metadata.csv").read_text() == "subject_id,age,SPLIT\nNA,40,test\n002,41,test\n"


@pytest.mark.parametrize(
    "text", ["subject_id\na\n", "subject_id,SPLIT\na,dev\n", "subject_id,SPLIT\na,val\na,test\n", "", '"']
)
def test_another_metadata_csv_is_refused(root, coarse, text):
    write_subject(root, "a")
    (root / "metadata.csv").write_text(text)
    with pytest.raises(
        ValueError,
        match="Expected in .*metadata.csv the columns subject_id, each once, and SPLIT, one of train, val, test",
    ):
        prepare(root, root)


def test_the_atlas_is_a_subject_and_stays(root, coarse):
    for name in ("a", "b", "c"):
        write_subject(root, name)
    out = root.parent / "out"
    assert prepare(root, atlas="b").atlas == "b" and sorted(splits(out)) == ["a", "c"]
    for name in (IMAGE, LABELS):
        assert (out / "atlas" / name).read_bytes() == (out / "data" / "b" / name).read_bytes()
    assert prepare(root).atlas == prepare(root, atlas="b").atlas == "b"
    with pytest.raises(ValueError, match="The atlas of .* is b, not c. Prepare into another folder"):
        prepare(root, atlas="c")
    (out / "atlas" / "subject.txt").unlink()
    with pytest.raises(ValueError, match="does not say which subject it is"):
        prepare(root)


def test_an_unknown_or_bad_atlas_is_named(root, coarse):
    for name in "abcde":
        write_subject(root, name, **({"image": None} if name == "c" else {}))
    with pytest.raises(ValueError, match="No subject 'x' in .* to use as atlas. Available: a, b, c, and 2 more"):
        prepare(root, atlas="x")
    with pytest.raises(
        ValueError, match="The atlas c could not be prepared: choose another one. .* has no mri/norm.mgz"
    ):
        prepare(root, atlas="c")
    assert prepare(root).atlas != "c"


def test_arguments_are_checked_before_any_work(root, coarse):
    with pytest.raises(ValueError, match="No FreeSurfer subject in .*subjects. Expected folders with mri/norm.mgz"):
        prepare(root)
    with pytest.raises(ValueError, match="No FreeSurfer subject in .*nowhere"):
        prepare(root / "nowhere")
    write_subject(root, "a")
    for fractions in ((0.5, 0.5), (0.6, 0.3, 0.2), (1.2, -0.1, -0.1), (np.nan, 0.5, 0.5)):
        with pytest.raises(ValueError, match="three numbers from 0 on with the sum 1"):
            prepare(root, fractions=fractions)
    with pytest.raises(ValueError, match="jobs is the number of subjects at a time, 1 or more. Received: 0"):
        prepare(root, jobs=0)


def test_a_full_disk_stops_the_run(root, coarse, monkeypatch):
    for name in "abcdefgh":
        write_subject(root, name)
    tried = []

    def save(image, path):
        tried.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(freesurfer_subject.nib, "save", save)
    with pytest.raises(OSError, match="No space left"):
        prepare(root, jobs=1)
    assert len(tried) < 8 and os.listdir(root.parent / "out" / "data") == []


def test_progress_and_bad_subjects_are_shown(root, coarse, capsys):
    write_subject(root, "a")
    write_subject(root, "b", None)
    prepared = prepare_brain_mri(root, root.parent / "out")
    assert "2/2" in capsys.readouterr().err and list(prepared.failed) == ["b"]
