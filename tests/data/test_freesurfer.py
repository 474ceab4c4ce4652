import gzip
import os

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from deepsim_tf.data import freesurfer_subject
from deepsim_tf.data.brain_mri import IMAGE, LABELS
from deepsim_tf.data.freesurfer import prepare_brain_mri
from deepsim_tf.data.freesurfer_classes import CLASSES, merge_ids

# paper.md's table, id by id.
CORTEX = {hemisphere + area: 22 if area in (2, 10, 23, 26) else 1 for hemisphere in (1000, 2000) for area in range(36)}
BY_HAND = CORTEX | {
    **{3: 1, 42: 1, 2: 2, 41: 2, 251: 2, 252: 2, 253: 2, 254: 2, 255: 2, 4: 3, 43: 3, 5: 4, 44: 4, 7: 5, 46: 5, 8: 6, 47: 6},
    **{10: 7, 49: 7, 11: 8, 50: 8, 12: 9, 51: 9, 13: 10, 52: 10, 14: 11, 15: 12, 16: 13, 17: 14, 53: 14, 18: 15, 54: 15, 24: 16},
    **{26: 17, 58: 17, 28: 18, 60: 18, 30: 19, 62: 19, 31: 20, 63: 20, 72: 21, 77: 23, 78: 23, 79: 23},
}
MATRIX = np.array([[1.05, 0.04, -0.02, 3], [-0.03, 1.1, 0.06, -7], [0.05, -0.08, 1.15, 11], [0, 0, 0, 1]])  # scanner -> MNI305
# Voxels of 2.6 x 3.1 x 3.4 mm, 12 degrees oblique, first axis to the left, second down, third forward.
COS, SIN = np.cos(0.2), np.sin(0.2)
OBLIQUE = np.array([[-2.6 * COS, 0, 3.4 * SIN, 65], [2.6 * SIN, 0, 3.4 * COS, -85], [0, -3.1, 0, 75], [0, 0, 0, 1]])
LANDMARKS = {17: (35, 20, 30), 10: (-40, -50, 10), 16: (5, -30, -45), 2002: (-20, 40, 45)}  # id: MNI305 RAS, mm
COARSE = (20, 24, 28), np.array([[-8, 0, 0, 80], [0, 0, 8, -128], [0, -8, 0, 98], [0, 0, 0, 1.0]])  # the same space at 8 mm


def xfm(matrix, header="MNI Transform File\n% by avi2talxfm\n\nTransform_Type = Linear;\n"):
    return header + "Linear_Transform =\n" + "\n".join(" ".join(map(str, row)) for row in np.asarray(matrix)[:3]) + ";\n"


def scene():
    """Blobs at the landmarks, sampled on the oblique grid: the image (sigma 6 mm) and spheres of labels (radius 12 mm)."""
    shape = 50, 48, 46
    world = np.moveaxis(np.indices(shape), 0, -1) @ (MATRIX @ OBLIQUE)[:3, :3].T + (MATRIX @ OBLIQUE)[:3, 3]
    image, ids = np.zeros(shape), np.zeros(shape, np.int32)
    for number, landmark in LANDMARKS.items():
        squares = np.sum((world - landmark) ** 2, axis=-1)
        image, ids[squares < 144] = image + 200 * np.exp(-squares / 72), number
    return image.astype(np.uint8), ids


SCENE = scene()


def write_subject(root, name, image=SCENE[0], ids=SCENE[1], *, affine=OBLIQUE, ids_affine=None, transform=None, files=("norm", "aparc+aseg")):
    (root / name / "mri" / "transforms").mkdir(parents=True)
    for file, array, its_affine in zip(files, (image, ids), (affine, affine if ids_affine is None else ids_affine), strict=True):
        if array is not None:
            nib.save(nib.MGHImage(array, its_affine), root / name / "mri" / f"{file}.mgz")
    text = xfm(MATRIX) if transform is None else transform
    (root / name / "mri" / "transforms" / "talairach.xfm").write_text(text)
    return root / name / "mri"


def prepare(root, out=None, **arguments):
    return prepare_brain_mri(root, root.parent / "out" if out is None else out, verbose=0, **arguments)


def read(folder):
    return [nib.load(folder / name) for name in (IMAGE, LABELS)]


def splits(out):
    table = pd.read_csv(out / "metadata.csv", dtype=str)
    assert list(table.columns) == ["subject_id", "SPLIT"]
    return dict(zip(table["subject_id"], table["SPLIT"], strict=True))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "subjects").mkdir()
    return tmp_path / "subjects"


@pytest.fixture
def coarse(monkeypatch):
    monkeypatch.setattr(freesurfer_subject, "GRID_SHAPE", COARSE[0])
    monkeypatch.setattr(freesurfer_subject, "GRID_AFFINE", COARSE[1])


def test_landmarks_arrive_at_their_place_in_the_common_space(root):
    write_subject(root, "s1")
    result = prepare(root)
    assert (result.subjects, result.failed, result.atlas) == (["s1"], {}, "s1")
    image, labels = read(root.parent / "out" / "data" / "s1")
    for file in (image, labels):
        assert file.shape == (160, 192, 224) and file.get_data_dtype() == np.uint8 and nib.aff2axcodes(file.affine) == ("L", "I", "A")
        assert file.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_array_equal(file.get_qform(), file.get_sform())
    values, classes = np.asarray(image.dataobj, float), np.asarray(labels.dataobj)
    for number, (x, y, z) in LANDMARKS.items():
        expected = np.array([80 - x, 98 - z, y + 128])  # 1 mm: left, down, forward
        around = tuple(slice(n - 16, n + 17) for n in expected)
        for weights in (values[around], classes[around] == BY_HAND[number]):
            centroid = [np.average(axis, weights=weights) for axis in np.indices(weights.shape)]
            np.testing.assert_allclose(centroid, 16, atol=0.5)
    volume = 4 / 3 * np.pi * 12**3
    assert abs(np.sum(classes == 14) / volume - 1) < 0.05
    assert 180 < values.max() <= SCENE[0].max()  # linear interpolation lowers a peak between voxels, and never raises it


def test_the_brain_of_the_common_space_fits_into_the_grid():
    # The MNI305 brain's bounding box, brain stem included.
    corners = np.array(np.meshgrid([-70, 70], [-106, 73], [-80, 85], indexing="ij")).reshape(3, -1).T
    voxels = nib.affines.apply_affine(np.linalg.inv(freesurfer_subject.GRID_AFFINE), corners)
    assert (voxels >= 9).all() and (voxels <= np.array(freesurfer_subject.GRID_SHAPE) - 10).all()


def test_every_id_goes_into_its_class(root, coarse):
    ids = np.zeros(COARSE[0], np.int32)
    ids.flat[:2100], ids.flat[2100:2102] = np.arange(2100), (12101, -1)
    write_subject(root, "s1", np.arange(ids.size, dtype=np.float32).reshape(ids.shape), ids, affine=COARSE[1], transform=xfm(np.eye(4)))
    prepare(root)
    _, labels = read(root.parent / "out" / "data" / "s1")
    expected = np.vectorize(lambda number: BY_HAND.get(number, 0))(ids)
    np.testing.assert_array_equal(np.asarray(labels.dataobj), expected)  # the same grid: nothing but the classes changes
    assert len(CLASSES) == 24 and set(BY_HAND.values()) == set(range(1, 24))
    assert merge_ids(np.array([[17, 2002]])).dtype == np.uint8


@pytest.mark.parametrize(("dtype", "kept"), [(np.uint8, np.uint8), (np.int16, np.float32), (np.float32, np.float32)])
def test_intensities_are_linear_between_voxels_and_bytes_are_rounded(root, coarse, dtype, kept):
    # A ramp along the first axis, shifted by 0.35 voxels (2.8 mm to the left is +0.35 in this axis).
    ramp = np.broadcast_to(np.arange(20)[:, None, None] * 10, COARSE[0]).astype(dtype)
    shift = np.eye(4)
    shift[0, 3] = 2.8
    write_subject(root, "s1", ramp, np.full(COARSE[0], 2, np.int32), affine=COARSE[1], transform=xfm(shift))
    prepare(root)
    image, _ = read(root.parent / "out" / "data" / "s1")
    assert image.get_data_dtype() == kept
    expected = np.arange(1, 19) * 10 + 3.5
    np.testing.assert_allclose(image.get_fdata()[1:19, 5, 5], np.rint(expected) if kept == np.uint8 else expected, atol=1e-3)


def test_norm_and_aparc_come_before_brain_and_aseg(root, coarse):
    both = write_subject(root, "s1")
    for other, name in (("brain", "norm"), ("aseg", "aparc+aseg")):
        data = np.asarray(nib.load(both / f"{name}.mgz").dataobj)
        nib.save(nib.MGHImage(data[::-1].copy(), OBLIQUE), both / f"{other}.mgz")
    write_subject(root, "s2", files=("brain", "aseg"))
    prepare(root)
    for first, second in zip(read(root.parent / "out" / "data" / "s1"), read(root.parent / "out" / "data" / "s2"), strict=True):
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
from deepsim_tf.data import freesurfer, freesurfer_subject
freesurfer_subject.GRID_SHAPE, freesurfer_subject.GRID_AFFINE = (20, 24, 28), freesurfer_subject.GRID_AFFINE * [8, 8, 8, 1]
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


NAN = np.where(SCENE[1] > 0, np.nan, SCENE[0]).astype(np.float32)
FAR = np.eye(4)
FAR[0, 3] = 60
BAD = [
    ({"image": None}, "has no mri/norm.mgz and no mri/brain.mgz. Run recon-all to its end"),
    ({"ids": None}, "has no mri/aparc\\+aseg.mgz and no mri/aseg.mgz"),
    ({"ids": SCENE[1][:-1]}, r"norm.mgz has shape \(50, 48, 46\), .*aparc\+aseg.mgz \(49, 48, 46\). Expected one grid"),
    ({"ids_affine": OBLIQUE + 0.1 * np.eye(4, k=3)}, r"norm.mgz has affine .*, .*aparc\+aseg.mgz .*. Expected one grid"),
    ({"image": np.stack([SCENE[0]] * 2, -1)}, r"norm.mgz holds an array of shape \(50, 48, 46, 2\). Expected a 2-D or 3-D image"),
    ({"image": NAN}, "norm.mgz holds NaN or infinity"),
    ({"image": np.full_like(SCENE[0], 7)}, "norm.mgz is constant, 7 everywhere"),
    ({"ids": np.full_like(SCENE[1], 85)}, r"aparc\+aseg.mgz has no known brain label. .* Received: 85"),
    ({"ids": (SCENE[1] / 2).astype(np.float32) + 0.25}, "values that are no whole numbers"),
    ({"ids": np.where(SCENE[1] > 0, np.nan, 0).astype(np.float32)}, "values that are no whole numbers"),
    ({"transform": ""}, "talairach.xfm is not an affine MNI transform file"),
    ({"transform": xfm(MATRIX, header="")}, "is not an affine MNI transform file"),
    ({"transform": xfm(MATRIX)[:-10]}, "is not an affine MNI transform file, or cut short"),
    ({"transform": xfm(MATRIX[:2])}, "is not an affine MNI transform file"),
    ({"transform": xfm(MATRIX).replace("1.15", "one")}, "is not an affine MNI transform file"),
    ({"transform": xfm(MATRIX) + "Linear_Transform =\n1 0 0 0\n0 1 0 0\n0 0 1 0;\n"}, "is not an affine MNI transform file"),
    ({"transform": xfm(MATRIX) + "Grid_Transform;\n"}, "is not an affine MNI transform file"),
    ({"transform": xfm(np.zeros((3, 4)))}, "talairach.xfm multiplies volumes by 0. Expected 0.2 to 5"),
    ({"transform": xfm(np.diag([2, 2, 2, 1]))}, "multiplies volumes by 8. Expected 0.2 to 5"),
    ({"transform": xfm(np.diag([-1, 1, 1, 1]))}, "multiplies volumes by -1"),  # would swap left and right
    ({"transform": xfm(np.full((3, 4), np.nan))}, "is not an affine MNI transform file"),
    ({"transform": xfm(FAR @ MATRIX)}, r"of the brain's 2.... mm\^3 fall outside the common space, more than 5%"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_subject_is_named_and_the_others_go_on(root, coarse, change, message):
    write_subject(root, "bad", **change)
    with pytest.raises(ValueError, match=f"None of the 1 subjects .* could be prepared. .*{message}"):
        prepare(root)
    write_subject(root, "good")
    result = prepare(root)
    assert result.subjects == ["good"] and list(result.failed) == ["bad"] and "\n" not in result.failed["bad"]
    assert os.listdir(root.parent / "out" / "data") == ["good"]


def test_a_subject_without_a_transform_is_named(root, coarse):
    (write_subject(root, "a") / "transforms" / "talairach.xfm").unlink()
    with pytest.raises(ValueError, match="has no mri/transforms/talairach.xfm"):
        prepare(root)


@pytest.mark.parametrize("name", ["norm.mgz", "aparc+aseg.mgz"])
@pytest.mark.parametrize("kept", [0, 5, 200, 1000, -1])
def test_a_truncated_volume_is_named(root, coarse, name, kept):
    path = write_subject(root, "a") / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"Cannot read .*{name.replace('+', '.')} .*: expected an MGZ image. The file seems truncated"):
        prepare(root)


def test_a_volume_that_lost_voxels_before_compression_is_named(root, coarse):
    path = write_subject(root, "a") / "norm.mgz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:50_000]))
    with pytest.raises(ValueError, match="Cannot read .*norm.mgz"):
        prepare(root)


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


@pytest.mark.parametrize("text", ["subject_id\na\n", "subject_id,SPLIT\na,dev\n", "subject_id,SPLIT\na,val\na,test\n", "", '"'])
def test_another_metadata_csv_is_refused(root, coarse, text):
    write_subject(root, "a")
    (root / "metadata.csv").write_text(text)
    with pytest.raises(ValueError, match="Expected in .*metadata.csv the columns subject_id, each once, and SPLIT, one of train, val, test"):
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
    with pytest.raises(ValueError, match="The atlas c could not be prepared: choose another one. .* has no mri/norm.mgz"):
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
