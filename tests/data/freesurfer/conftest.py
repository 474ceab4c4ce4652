import pytest
from freesurfer_scene import COARSE

from deepsim_tf.data.freesurfer import subject as freesurfer_subject


@pytest.fixture
def root(tmp_path):
    """An empty SUBJECTS_DIR of FreeSurfer."""
    (tmp_path / "subjects").mkdir()
    return tmp_path / "subjects"


@pytest.fixture
def coarse(monkeypatch):
    """The common space at 8 mm: seconds less a subject."""
    monkeypatch.setattr(freesurfer_subject, "GRID_SHAPE", COARSE[0])
    monkeypatch.setattr(freesurfer_subject, "GRID_AFFINE", COARSE[1])
