"""Hand keypoint detection with convolutional pose machines, in TensorFlow 2 and Keras 3."""

__version__ = "0.1.0"
