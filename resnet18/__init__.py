"""A lab report on ResNet-18 and CIFAR-10, re-created as a reproducible benchmark suite."""

__version__ = "0.1.0"
