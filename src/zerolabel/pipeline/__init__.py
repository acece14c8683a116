"""The main job: its stages, and what may happen before a student learns."""

from zerolabel.pipeline.job import ANSWERS, Job

__all__ = ["ANSWERS", "Job"]
