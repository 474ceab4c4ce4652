"""Where things are, and the shape of the tiny models and pairs of the fixtures."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
SAMPLES = pathlib.Path(os.environ.get("DEEPSIM_DATA", ROOT / "../shared/data"))  # real data, where there are any
SHAPE = (16, 20)
