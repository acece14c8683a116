"""Losses, targets, memories and pseudo-labels: the pure functions and small modules that learners are made of."""
