"""Every published figure that zerolabel is measured by, and the run that gives ours: ``python -m benchmarks.papers``."""
