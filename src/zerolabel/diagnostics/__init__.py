"""Label-free diagnostics of annotations, training and classifiers."""
