"""From a folder of unlabelled images and class names to a small, deployable image classifier."""

__version__ = "0.1.0"
