"""The figures of the report, as SVG: byte for byte the same from the same records."""

from resnet18.report.figures.against import against, numeric_key
from resnet18.report.figures.curves import learning_curves
from resnet18.report.figures.predictions import confusion_matrix, sample_grid, summed_confusion

__all__ = ["against", "confusion_matrix", "learning_curves", "numeric_key", "sample_grid", "summed_confusion"]
