"""Hand keypoint detection with convolutional pose machines, in TensorFlow 2 and Keras 3."""

import os

# Before TensorFlow is imported, or it does not count: its own default where a processor has AVX-512 with VNNI. Without,
# too, training is faster with it, up to 1.2 times.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
