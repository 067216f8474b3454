"""What is compared: the report's workloads, and what each asks of a machine."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from loops import NETWORKS
from torch import Tensor, zeros
from torch.utils.flop_counter import FlopCounterMode

from resnet18.spec.experiment import Execution, Experiment
from resnet18.training.forecast import forecast

CROPS = [
    {"name": "random_resized_crop", "scale_min": 0.5, "scale_max": 1.0},
    {"name": "random_rotation", "degrees": 30.0},
    {"name": "random_horizontal_flip"},
]
PLAIN = [{"name": "to_tensor"}, {"name": "normalize"}]
OPTIMIZERS = {"lab": {"name": "adam", "lr": 0.001}, "kuangliu-style": {"name": "sgd", "lr": 0.1, "momentum": 0.9}}
PASSES = {"adam": 10, "sgd": 8}
"""Times that a step reads or writes as many numbers as there are parameters: forward and backward read them, backward
writes gradients, the optimizer reads gradient, parameter and state and writes parameter and state."""


@dataclass(frozen=True)
class Workload:
    """What both sides train on."""

    loop: str
    """Name of the reference loop."""
    stem: str
    size: int
    batch_size: int
    precision: str
    steps: int
    """Of one turn, on each side."""
    processes: int = 1
    """Of the fast side, each on processors of its own, with one thread each where there are several."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """Ratio that is to be reached on two cores, by class of machine."""

    @property
    def experiment(self) -> Experiment:
        """The experiment of the fast side."""
        operations = (CROPS if self.size != 32 or self.stem == "cifar" else []) + PLAIN
        return Experiment.model_validate({
            "data": "fashion-mnist-mini", "train_images": "all", "test_images_epoch": 100, "test_images_last": 100,
            "image_size": self.size, "augmentation": operations, "test_augmentation": operations, "model": "resnet18",
            "stem": self.stem, "optimizer": OPTIMIZERS[self.loop], "schedule": {"name": "constant"},
            "batch_size": self.batch_size, "epochs": 1_000, "seed": 0,
        })  # fmt: skip


CLASSES = {"amx": "amx_bf16", "avx512": "avx512f", "avx2": "avx2"}
"""Classes of machine, the fastest first, by the instruction that tells them."""
WORKLOADS = {
    "224px": Workload("lab", "imagenet", 224, 32, "bf16", 3, targets={"amx": 4.3}),
    "224px, fp32": Workload("lab", "imagenet", 224, 32, "fp32", 3, targets={"amx": 1.1, "avx2": 1.15}),
    "32px": Workload("lab", "imagenet", 32, 32, "bf16", 40, targets={"amx": 2.4}),
    "32px, 2 jobs": Workload("lab", "imagenet", 32, 32, "bf16", 40, processes=2, targets={"amx": 3.1}),
    "32px, fp32": Workload("lab", "imagenet", 32, 32, "fp32", 40, targets={"amx": 1.5, "avx2": 3.5}),
    "cifar-stem": Workload("kuangliu-style", "cifar", 32, 128, "bf16", 2, targets={"amx": 4.4}),
    "cifar-stem, 2 jobs": Workload("kuangliu-style", "cifar", 32, 128, "bf16", 2, processes=2, targets={"amx": 6.0}),
    "cifar-stem, fp32": Workload("kuangliu-style", "cifar", 32, 128, "fp32", 2, targets={"amx": 1.2, "avx2": 1.15}),
    **{
        f"32px, batch {size}, {precision}": Workload("lab", "imagenet", 32, size, precision, max(1, 1_200 // size))
        for size in (8, 16, 128, 512, 1024)
        for precision in ("bf16", "fp32")
    },
}


def machine_class(flags: Collection[str], limit: str) -> str:
    """Return the newest instructions that both sides may use: `amx`, `avx512`, `avx2`, or `other`.

    Args:
        flags: what the processor can do, by Linux's names.
        limit: the newest that oneDNN may use, as in its variable; empty: all.
    """
    newest = limit.upper().partition("_")[0] if "AMX" not in limit.upper() else ""
    kept = {"AVX2": 1, "AVX512": 2}.get(newest, len(CLASSES))
    return next((one for one in list(CLASSES)[-kept:] if CLASSES[one] in flags), "other")


def chosen(only: Sequence[str] | None, *, emulates_bf16: bool) -> tuple[list[str], list[str]]:
    """Return which workloads are measured, and which are left out: where bf16 is emulated, those nobody asked for."""
    if only:
        return list(only), []
    skipped = [name for name, one in WORKLOADS.items() if emulates_bf16 and one.precision == "bf16"]
    return [name for name in WORKLOADS if name not in skipped], skipped


def flops_per_image(workload: Workload) -> float:
    """Return the floating-point operations of forward and backward, counted on the reference network by torch."""
    model = NETWORKS[workload.loop]()
    images: Tensor = zeros(2, 3, workload.size, workload.size)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops() / 2


def bytes_per_image(workload: Workload, parameters: int) -> float:
    """Return the least that must move between processor and memory, of parameters and activations that no cache holds.

    What autograd saves of an image is written once and read once; a step's passes over the parameters are shared by
    its images.
    """
    batches = (workload.experiment.model_copy(update={"batch_size": images}) for images in (2, 3))
    two, three = (forecast(experiment, Execution(), granule=1).saved_bytes for experiment in batches)
    saved = (three - two) / (2 if workload.precision == "bf16" else 1)
    return 2 * saved + PASSES[workload.experiment.optimizer.name] * 4 * parameters / workload.batch_size
