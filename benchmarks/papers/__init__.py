"""The published figures that zerolabel is measured by, and runs for ours: ``python -m benchmarks.papers``."""
