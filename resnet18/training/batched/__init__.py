"""The operations of `training/augment.py` on whole batches, bit-identical to it, on any device."""

from resnet18.training.batched.pipeline import BatchedPipeline, build_batched_pipeline

__all__ = ["BatchedPipeline", "build_batched_pipeline"]
