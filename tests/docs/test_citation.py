"""CITATION.cff and the README name the same paper, and CITATION.cff this version."""

import re

from places import ROOT

import deepsim_tf as ds

CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_version_is_the_packages():
    assert re.findall(r"^version: (.+)$", CITATION, re.M) == [ds.__version__]


def test_the_paper_is_the_readmes():
    bibtex = re.search(r"```bibtex\n(.*?)```", README, re.S).group(1)
    field = dict(re.findall(r"(\w+)\s*= \{(.*?)\}", bibtex))
    preferred = CITATION.split("preferred-citation:")[1].split("references:")[0]
    found = dict(re.findall(r"^\s*([\w-]+): (.+)$", preferred, re.M))
    assert (found["title"], found["journal"]) == (field["title"], field["journal"])
    assert (found["volume"], found["start"], found["year"]) == (field["volume"], field["pages"], field["year"])
    authors = re.findall(r"family-names: (.+)\n\s*given-names: (.+)", preferred)
    assert " and ".join(f"{family}, {given}" for family, given in authors) == field["author"]
    assert f"https://doi.org/{found['doi']}" in README
