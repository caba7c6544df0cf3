"""Load a model in one call, and predict, train and evaluate by its methods."""

from mmsparseswin.easy.model import Model, load
from mmsparseswin.easy.results import Result, Results

__all__ = ['Model', 'Result', 'Results', 'load']
