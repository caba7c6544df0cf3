"""Parts that plug into mmengine's Runner."""

from mmsparseswin.engine.attention_penalty import AttentionPenalty, AttentionPenaltyHook
from mmsparseswin.engine.checkpoint_guard import CheckpointGuardHook
from mmsparseswin.engine.checkpoint_saving import SafeCheckpointHook
from mmsparseswin.engine.classifier_pictures import ClassifierPicturesHook
from mmsparseswin.engine.confusion_matrix import ConfusionMatrix
from mmsparseswin.engine.cpu_budget import CpuBudgetLoop
from mmsparseswin.engine.data_notes import DataNotesHook
from mmsparseswin.engine.decay_constructor import DecayConstructor
from mmsparseswin.engine.divergence import DivergenceHook
from mmsparseswin.engine.exported_model import ExportedModel
from mmsparseswin.engine.image_loading import LoadImageFromFile
from mmsparseswin.engine.precision import PrecisionOptimWrapper
from mmsparseswin.engine.published_recipes import (
    ClipEachTensorHook,
    EvalModeHook,
    TrainLossPlateauLR,
    WarmUpRestartLR,
)
from mmsparseswin.engine.random_keep import RandomKeepHook
from mmsparseswin.engine.resumable_loop import ResumableTrainLoop
from mmsparseswin.engine.stop_after import StopAfterHook
from mmsparseswin.engine.stop_signals import StopSignalsHook

__all__ = [
    'AttentionPenalty',
    'AttentionPenaltyHook',
    'CheckpointGuardHook',
    'ClassifierPicturesHook',
    'ClipEachTensorHook',
    'ConfusionMatrix',
    'CpuBudgetLoop',
    'DataNotesHook',
    'DecayConstructor',
    'DivergenceHook',
    'EvalModeHook',
    'ExportedModel',
    'LoadImageFromFile',
    'PrecisionOptimWrapper',
    'RandomKeepHook',
    'ResumableTrainLoop',
    'SafeCheckpointHook',
    'StopAfterHook',
    'StopSignalsHook',
    'TrainLossPlateauLR',
    'WarmUpRestartLR',
]
