"""The CSV file itself: columns, cells, label maps. Its images are in test_own_data.py."""

import pytest

from deepsim_tf.data.own.table import read_label_map, read_rows
from deepsim_tf.data.problems import Problems


def rows(folder, text, encoding="utf-8"):
    for name in ("a.png", "b.png", "la.png", "lb.png", "an image.png"):
        (folder / name).touch()
    (folder / "own.csv").write_bytes(text.encode(encoding))
    found = Problems("csv")
    return read_rows(folder / "own.csv", found), found


def test_a_list_of_images_and_a_list_of_pairs_become_rows(tmp_path):
    a, b, la, lb = (tmp_path / f"{name}.png" for name in ("a", "b", "la", "lb"))
    assert [tuple(row) for row in rows(tmp_path, "image\na.png\nb.png\n")[0]] == [
        (((a, None),), None, 2, ()),
        (((b, None),), None, 3, ()),
    ]
    assert rows(tmp_path, "labels,split,image\nla.png,val,a.png\n")[0] == [(((a, la),), "val", 2, ())]
    assert rows(tmp_path, "moving,fixed\na.png,b.png\n")[0] == [(((a, None), (b, None)), None, 2, ())]
    labelled = "moving,moving_labels,fixed,fixed_labels,split\na.png,la.png,b.png,lb.png,test\n"
    assert rows(tmp_path, labelled)[0] == [(((a, la), (b, lb)), "test", 2, ())]


def test_landmarks_may_come_with_labels_or_without(tmp_path):
    a, b, la, lb = (tmp_path / f"{name}.png" for name in ("a", "b", "la", "lb"))
    assert rows(tmp_path, "landmarks,image\nlb.png,a.png\n")[0] == [(((a, None),), None, 2, (lb,))]
    assert rows(tmp_path, "image,labels,landmarks\na.png,la.png,lb.png\n")[0] == [(((a, la),), None, 2, (lb,))]
    pair = "moving,fixed,fixed_landmarks,moving_landmarks\na.png,b.png,lb.png,la.png\n"
    assert rows(tmp_path, pair)[0] == [(((a, None), (b, None)), None, 2, (la, lb))]


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
    assert [(row.images, row.split) for row in found] == [(((tmp_path / "a.png", None),), "val")] and not problems


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
    assert found[0].images == ((tmp_path / "an image.png", None), (tmp_path / "a.png", None)) and not problems


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


def test_a_label_map_is_a_dict_or_a_file(tmp_path):
    assert read_label_map({17: 1, 53: 1, 2: 0}) == ((17, 1), (53, 1), (2, 0))
    (tmp_path / "map.csv").write_text(
        "\ufeffname,label,class\nleft, 17, 1\nright, 53, 1\nwhite matter, 2, 0\n", encoding="utf-8"
    )
    assert (
        read_label_map(tmp_path / "map.csv") == read_label_map(str(tmp_path / "map.csv")) == ((17, 1), (53, 1), (2, 0))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,class\n1,1\n1,2\n", "map.csv: expected labels and classes from 0 on, each label once"),
        ("label,class\n1,-1\n", "map.csv: expected labels and classes from 0 on"),
        ("label,class\n", "map.csv: expected labels and classes from 0 on"),
        ("label,class\n1.5,1\n", "map.csv: expected whole numbers as label and class"),
        ("label,class\n1,\n", "map.csv: expected whole numbers as label and class"),
        ("label,target\n1,1\n", "map.csv has the columns label, target. Expected label and class"),
    ],
)
def test_a_wrong_label_map_is_refused(tmp_path, text, message):
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_label_map(tmp_path / "map.csv")


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({}, "from 0 on"),
        ({1: -1}, "from 0 on"),
        ({"a": 1}, "whole numbers"),
        ({1: None}, "whole numbers"),
        ({1: 1.5}, "whole numbers"),
    ],
)
def test_a_wrong_dict_is_refused(label_map, message):
    with pytest.raises(ValueError, match=f"^label_map: expected .*{message}"):
        read_label_map(label_map)
    with pytest.raises(ValueError, match="No file nowhere.csv"):
        read_label_map("nowhere.csv")


def test_spaces_around_cells_blank_lines_and_a_repeated_row(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    path, found = tmp_path / "own.csv", Problems("own")
    path.write_text("image , split\r\n a.png , train \r\n\r\nb.png,val\r\na.png,train\r\nc.png,val\r\n")
    assert [(row.images[0][0].name, row.split, row.line) for row in read_rows(path, found)] == [
        ("a.png", "train", 2),
        ("b.png", "val", 4),
    ]
    assert "line 5: repeats line 2." in found[0] and "line 6: no file" in found[1]
