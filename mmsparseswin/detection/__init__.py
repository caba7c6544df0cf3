"""Provide the parts that need mmdet: detectors, necks, transforms and checks of data.

`mmsparseswin.registry` names the modules that register something; each is imported when it is asked for.
"""
