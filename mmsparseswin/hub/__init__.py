"""Hand weights on: published files, folders with a config, and model hubs."""

from mmsparseswin.hub.folders import save_pretrained
from mmsparseswin.hub.remote import from_pretrained, push_to_hub

__all__ = ['from_pretrained', 'push_to_hub', 'save_pretrained']
