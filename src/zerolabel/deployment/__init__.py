"""Classifiers: one artifact that predicts and exports."""
