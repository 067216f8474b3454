"""The figures of the report, as SVG: byte for byte the same from the same records."""

from resnet18.report.figures.by_number import against
from resnet18.report.figures.confusion import confusion_matrix, summed_confusion
from resnet18.report.figures.curves import learning_curves
from resnet18.report.figures.numeric import numeric_key
from resnet18.report.figures.pictures import sample_grid

__all__ = ["against", "confusion_matrix", "learning_curves", "numeric_key", "sample_grid", "summed_confusion"]
