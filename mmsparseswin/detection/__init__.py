"""What needs mmdet: detectors, necks, transforms and the embedded data set.

`mmsparseswin.registry` names the modules that register something; each is imported when it is asked for.
"""
