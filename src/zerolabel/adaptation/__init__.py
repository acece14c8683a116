"""A small part of a vision-language model is learned on unlabeled images, checked without labels, and written.

Nothing is imported here, so that the command line reads the table of `zerolabel.adaptation.methods` without a model.
"""
