"""Label maps, as dicts and as files. What they make of labels is in test_from_csv.py."""

import pytest

from deepsim_tf.data import read_label_map


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
