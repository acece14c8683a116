"""Classifiers: one artefact that predicts and exports."""
