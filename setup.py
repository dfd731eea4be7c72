"""Package description of cpm_hand; `pip install .` or, to work on it, `pip install -e .[dev]`."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
# Read, not imported: importing the package would need the packages that are about to be installed.
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "cpm_hand/__init__.py").read_text())[1]

# What reads or writes each file format beside TensorFlow's own.
EXTRAS = {
    "tflite": ["ai-edge-litert>=2.1"],
    "onnx": ["onnx>=1.18", "onnxruntime>=1.22", "tf2onnx>=1.17"],
    "openvino": ["openvino>=2025.2"],
}
EXTRAS["all"] = sorted({package for packages in EXTRAS.values() for package in packages})
EXTRAS["dev"] = ["pytest>=8", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "ruff>=0.6", "psutil>=6", *EXTRAS["all"]]

setup(
    name="cpm_hand",
    version=VERSION,
    description="Train, export and run hand keypoint detectors: convolutional pose machines in Keras 3",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=[*find_packages(include=["cpm_hand", "cpm_hand.*"]), "cpm_hand.models.cpm_lite"],
    package_dir={"cpm_hand.models.cpm_lite": "models/cpm_lite"},
    package_data={"cpm_hand": ["py.typed", "html_report.css"],
                  "cpm_hand.models.cpm_lite": ["*.npz", "*.pb", "*.json", "*.flags", "*.md", "SHA256SUMS"]},
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "numpy>=2.0",
        "scipy>=1.14",
        "numba>=0.61",  # the renderer's inner loops
        # Not opencv-python: that one wants libGL.so.1. Below 5: the warp of 4.14 takes 0.6 of the time of 5.0.
        "opencv-python-headless>=4.10,<5",
        "absl-py>=2.1",
        "tensorboard>=2.20",  # TensorFlow 2.21 no longer brings it
        "matplotlib>=3.9",  # loss curves and --show
        "pillow>=11.3",  # picture sizes without decoding, GIF; AVIF from this one on
        "tqdm>=4.66",  # progress bars
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "cpm-hand-train=cpm_hand.cli.train:run",
            "cpm-hand-freeze=cpm_hand.cli.freeze:run",
            "cpm-hand-test=cpm_hand.cli.test:run",
        ]
    },
)
