"""The CSV file itself: columns and cells. Its images are in test_from_csv.py."""

import re

import pytest

from deepsim_tf.data.own.rows import read_rows
from deepsim_tf.data.problems import Problems


def rows(folder, text, encoding="utf-8"):
    for name in ("a.png", "b.png", "la.png", "lb.png", "an image.png"):
        (folder / name).touch()
    (folder / "own.csv").write_bytes(text.encode(encoding))
    found = Problems("csv")
    return read_rows(folder / "own.csv", found), found


def plain(found):
    """(((image, labels), ..), split, line, landmarks) of each row."""
    return [(tuple((s.image, s.labels) for s in row.images), row.split, row.line, row.landmarks) for row in found[0]]


def test_a_list_of_images_and_a_list_of_pairs_become_rows(tmp_path):
    a, b, la, lb = (tmp_path / f"{name}.png" for name in ("a", "b", "la", "lb"))
    assert plain(rows(tmp_path, "image\na.png\nb.png\n")) == [
        (((a, None),), None, 2, ()),
        (((b, None),), None, 3, ()),
    ]
    assert plain(rows(tmp_path, "labels,split,image\nla.png,val,a.png\n")) == [(((a, la),), "val", 2, ())]
    assert plain(rows(tmp_path, "moving,fixed\na.png,b.png\n")) == [(((a, None), (b, None)), None, 2, ())]
    labelled = "moving,moving_labels,fixed,fixed_labels,split\na.png,la.png,b.png,lb.png,test\n"
    assert plain(rows(tmp_path, labelled)) == [(((a, la), (b, lb)), "test", 2, ())]


def test_landmarks_may_come_with_labels_or_without(tmp_path):
    a, b, la, lb = (tmp_path / f"{name}.png" for name in ("a", "b", "la", "lb"))
    assert plain(rows(tmp_path, "landmarks,image\nlb.png,a.png\n")) == [(((a, None),), None, 2, (lb,))]
    assert plain(rows(tmp_path, "image,labels,landmarks\na.png,la.png,lb.png\n")) == [(((a, la),), None, 2, (lb,))]
    pair = "moving,fixed,fixed_landmarks,moving_landmarks\na.png,b.png,lb.png,la.png\n"
    assert plain(rows(tmp_path, pair)) == [(((a, None), (b, None)), None, 2, (la, lb))]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("image,split\na.png,val\n", "utf-8-sig"),
        ("image, split\n a.png, val\n", "utf-8"),
        ("image,split\r\na.png,val\r\n", "utf-8"),
        ('"image","split"\n"a.png","val"\n', "utf-8"),
        ("age,image,split\n71,a.png,val", "utf-8"),
        ("image,split\na.png,val\n\n\n", "utf-8"),
    ],
)
def test_the_same_table_may_be_written_in_several_ways(tmp_path, text, encoding):
    found, problems = rows(tmp_path, text, encoding)
    assert plain((found, problems)) == [(((tmp_path / "a.png", None),), "val", 2, ())] and not problems


def test_a_cell_of_an_image_may_list_the_files_of_its_channels(tmp_path):
    a, b, la = (tmp_path / f"{name}.png" for name in ("a", "b", "la"))
    (found,), problems = rows(tmp_path, "image,labels\na.png; b.png,la.png\n")
    (source,) = found.images
    assert (source.image, source.further, source.labels, source.name) == (a, (b,), la, "a.png;b.png")
    assert source.files == [a, b, la] and not problems
    (tmp_path / "a;b.png").touch()  # a name that says what it is
    assert rows(tmp_path, "image\na;b.png\n")[0][0].images[0].images == [tmp_path / "a;b.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image\na.png;c.png\n", "line 2: no file .*c.png .image.. Paths count from"),
        ("image\na.png;a.png\n", "line 2: a.png;a.png .image. names a file twice. Expected a file for each channel"),
        ("image,labels\na.png,la.png;lb.png\n", "line 2: no file .*la.png;lb.png .labels."),
    ],
)
def test_channels_that_are_no_files_are_named(tmp_path, text, message):
    found, problems = rows(tmp_path, text)
    assert not found and len(problems) == 1 and re.search(message, problems[0])


def test_further_columns_are_left_alone_and_misspelt_ones_are_not(tmp_path):
    # A column `age` is no misspelt `image`, but `lables` would leave all labels out.
    assert len(rows(tmp_path, "image,age,images,site\na.png,71,x,y\n")[0]) == 1
    assert len(rows(tmp_path, "moving,fixed,age,fixed_id\na.png,b.png,71,9\n")[0]) == 1
    for header, meant in (
        ("image,lables", "labels"),
        ("image,spilt", "split"),
        ("moving,fixed,moving_label", "moving_labels"),
    ):
        with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
            rows(tmp_path, f"{header}\na.png,b.png\n")


def test_names_with_spaces_and_absolute_paths_are_files(tmp_path):
    found, problems = rows(tmp_path, f"moving,fixed\nan image.png,{tmp_path / 'a.png'}\n")
    assert [source.image for source in found[0].images] == [tmp_path / "an image.png", tmp_path / "a.png"]
    assert not problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "own.csv cannot be read as a CSV file .*Expected moving, fixed and optionally"),
        ("image\n", "own.csv has no row below its header. Expected one image or pair in a row"),
        (
            "a.png\nb.png\n",
            "own.csv has the columns a.png. Expected moving, fixed and optionally moving_labels, .*, split; or image",
        ),
        ("moving\na.png\n", "own.csv has the columns moving. Expected"),
        ("image;labels;split\na.png;la.png;val\n", "own.csv is separated by semicolons. Expected commas"),
        ("image,moving,fixed\na.png,a.png,b.png\n", "own.csv has the columns image, moving, fixed. Expected"),
        ("image,Labels\na.png,la.png\n", "own.csv has a column 'Labels'. Did you mean 'labels'"),
        ("images\na.png\n", "has a column 'images'. Did you mean 'image'"),
        (
            "moving,fixed,moving_labels\na.png,b.png,la.png\n",
            "has the column moving_labels alone. Expected labels of both images, or of none",
        ),
        (
            "moving,fixed,fixed_landmarks\na.png,b.png,la.png\n",
            "has the column fixed_landmarks alone. Expected landmarks of both images, or of none",
        ),
        (
            "moving,fixed,landmarks\na.png,b.png,la.png\n",
            "has the column landmarks beside moving, fixed. Expected moving, fixed and optionally",
        ),
        ("image,fixed_labels\na.png,la.png\n", "has the column fixed_labels beside image. Expected"),
        ("image,landmark\na.png,la.png\n", "has a column 'landmark'. Did you mean 'landmarks'"),
        (
            "image,labels\na.png,la.png,val\n",
            r"has more cells in its rows than columns in its header \(image, labels\)",
        ),
        ("image\na.png\nb.png,val,1\n", "own.csv cannot be read as a CSV file"),
    ],
)
def test_a_table_of_another_kind_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        rows(tmp_path, text)


def test_another_encoding_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="own.csv cannot be read as a CSV file"):
        rows(tmp_path, "image\nä.png\n", "latin-1")
    with pytest.raises(ValueError, match="No file .*other.csv. Expected a CSV file; check its name"):
        read_rows(tmp_path / "other.csv", Problems("csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,split\na.png,val\nb.png,dev\n", "own.csv, line 3: unknown split 'dev'. Available: train, val, test."),
        ("image,split\na.png,\n", "own.csv, line 2: unknown split ''. Available: train, val, test."),
        ("image,split\na.png,val\nb.png\n", "own.csv, line 3: unknown split ''. Available: train, val, test."),
        (
            "image,labels\na.png,\n",
            "own.csv, line 2: the column labels is empty. Expected a file; label all images or none.",
        ),
        (
            "moving,fixed\n,b.png\n",
            "own.csv, line 2: the column moving is empty. Expected a file; label all images or none.",
        ),
        (
            "image,landmarks\na.png,la.png\nb.png,\n",
            "line 3: the column landmarks is empty. Expected a file; landmarks of all rows or of none.",
        ),
        ("image,landmarks\na.png,pa.csv\n", "pa.csv (landmarks). Paths count from the CSV file's folder."),
        ("moving,fixed\na.png,c.png\n", "c.png (fixed). Paths count from the CSV file's folder."),
        ("image,labels\na.png,sub/la.png\n", "sub/la.png (labels). Paths count from the CSV file's folder."),
    ],
)
def test_a_bad_row_is_one_sentence_and_the_others_stay(tmp_path, text, message):
    found, problems = rows(tmp_path, text)
    assert len(problems) == 1 and problems[0].endswith(message)
    assert len(found) == text.count("\n") - 2


def test_spaces_around_cells_blank_lines_and_a_repeated_row(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    path, found = tmp_path / "own.csv", Problems("own")
    path.write_text("image , split\r\n a.png , train \r\n\r\nb.png,val\r\na.png,train\r\nc.png,val\r\n")
    assert [(row.images[0].image.name, row.split, row.line) for row in read_rows(path, found)] == [
        ("a.png", "train", 2),
        ("b.png", "val", 4),
    ]
    assert "line 5: repeats line 2." in found[0] and "line 6: no file" in found[1]
