"""Provide data sets for classifiers, which need mmpretrain; `mmsparseswin.registry` imports each on demand."""
