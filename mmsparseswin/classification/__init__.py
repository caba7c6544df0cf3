"""What needs mmpretrain: data sets for classifiers. `mmsparseswin.registry` imports each when it is asked for."""
