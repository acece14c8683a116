"""What can be said of annotations, training and classifiers without labels."""
