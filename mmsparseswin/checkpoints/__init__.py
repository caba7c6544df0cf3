"""Other people's weights -> ours: read untrusted files, find out whose names they use, convert, load."""

from mmsparseswin.checkpoints.convert import Converted, convert
from mmsparseswin.checkpoints.loading import LoadReport, load_pretrained
from mmsparseswin.checkpoints.reading import Checkpoint, read_checkpoint
from mmsparseswin.checkpoints.sources import SOURCES
from mmsparseswin.checkpoints.writing import write_weights

__all__ = [
    'SOURCES',
    'Checkpoint',
    'Converted',
    'LoadReport',
    'convert',
    'load_pretrained',
    'read_checkpoint',
    'write_weights',
]
