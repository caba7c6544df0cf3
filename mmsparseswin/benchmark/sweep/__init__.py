"""Measure what settings of a trained model cost in accuracy and time, and find the best of them."""
