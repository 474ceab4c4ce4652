"""Packaging: `pip install .` gives the package and the command `deepsim`."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
LINES = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "deepsim_tf" / "__init__.py").read_text(encoding="utf-8"), re.M
).group(1)

setup(
    name="deepsim_tf",
    version=VERSION,
    description="Semantic similarity (DeepSim) for learned image registration, in Keras",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["deepsim_tf", "deepsim_tf.*"]),
    package_data={"deepsim_tf.evaluation": ["templates/*.j2"]},
    python_requires=">=3.11,<3.14",
    install_requires=[line.split("#")[0].strip() for line in LINES if line.split("#")[0].strip()],
    extras_require={
        "serving": ["tensorflow-serving-api>=2.20,<2.22"],  # the warm-up file of ds.export, and serving/grpc_client.py
        "onnx": [
            "tf2onnx>=1.17,<1.18"
        ],  # ds.export(format="onnx"); the first that works with NumPy 2.4 and TensorFlow 2.21 as it is
    },
    entry_points={"console_scripts": ["deepsim=deepsim_tf.cli:main"]},
)
