"""Maps of what a prediction goes by (grad-cam) and feature maps, of detectors and classifiers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmsparseswin.errors import InputError, few

METHODS = ('gradcam', 'gradcam++', 'hirescam', 'eigencam', 'layercam')
_CLASSES = {
    'gradcam': 'GradCAM',
    'gradcam++': 'GradCAMPlusPlus',
    'hirescam': 'HiResCAM',
    'eigencam': 'EigenCAM',
    'layercam': 'LayerCAM',
}


def load_grad_cam() -> Any:
    """Return the module pytorch_grad_cam.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pytorch_grad_cam
    except ImportError:
        raise InputError("this needs grad-cam: pip install 'mmsparseswin[cam]', or pip install grad-cam") from None
    return pytorch_grad_cam


class ClassScores(nn.Module):
    """A model as grad-cam wants it: images (1, 3, H, W) to scores (1, classes).

    A classifier gives its logits; a detector, for each class, the sum of the scores of its boxes.
    """

    def __init__(self, model: Any, classes: int, detects: bool) -> None:
        super().__init__()
        self.model, self.classes, self.detects = model, classes, detects
        self.samples: list[Any] = []  # of a detector's images

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        if not self.detects:
            return self.model(images, mode='tensor')
        found = self.model.predict(images, self.samples, rescale=False)[0].pred_instances
        return found.scores.new_zeros(self.classes).index_add(0, found.labels, found.scores)[None]


def find_layers(model: nn.Module, names: Sequence[str]) -> list[tuple[str, nn.Module]]:
    """Return layers by their names; without names the outputs of an FPN, else the last stage of image tokens.

    Sparse and semantic tokens have no place in the image, so their stages are passed over.

    Raises:
        InputError: no such layer, or no default for this model.
    """
    modules = dict(model.named_modules())
    if names:
        if wrong := [name for name in names if name not in modules]:
            beside = [name for name, _ in model.named_children()]
            raise InputError(f'--layer {wrong[0]}: no such layer; the model has {few(beside)}, and parts of these')
        return [(name, modules[name]) for name in names]
    if outputs := [
        (name, modules[name]) for name in modules if name.startswith('neck.fpn_convs.') and name.count('.') == 2
    ]:
        return outputs
    found = [
        name
        for name, module in modules.items()
        if type(module).__name__ == 'SwinBlock' and name.startswith('backbone.stages.')
    ]
    if not found:
        raise InputError(
            'this model has neither an FPN nor a backbone of ours: name a layer with --layer, e.g. backbone.layer4'
        )
    return [(found[-1], modules[found[-1]])]


def as_map(values: Any, size: tuple[int, int]) -> Tensor:
    """Return a layer's output as (B, C, h, w); tokens (B, N, C) get the shape of the image `size` (H, W)."""
    if isinstance(values, (tuple, list)):
        values = values[0]
    if values.dim() == 4:
        return values
    count = values.shape[1]
    heights = [height for height in range(1, count + 1) if count % height == 0]
    height = min(heights, key=lambda height: abs(np.log(height**2 / count) - np.log(size[0] / size[1])))
    return values.transpose(1, 2).unflatten(2, (height, count // height))


def activation_map(
    scores: ClassScores, images: Tensor, layers: Sequence[nn.Module], method: str, label: int
) -> np.ndarray:
    """Return what speaks for class `label` at each place of the image, (H, W) from 0 to 1.

    Args:
        scores: the model.
        images: (1, 3, H, W), preprocessed.
        layers: their maps are averaged.
        method: one of METHODS; eigencam takes the main component of the features, whatever the class.
        label: the class.

    Raises:
        InputError: a method that needs gradients, of a model whose head hands none on.
    """
    library = load_grad_cam()
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if method != 'eigencam' and not scores(images).requires_grad:
        raise InputError(
            f'--method {method}: the head of this detector hands no gradient on (mmdet detaches the scores of '
            'one-stage heads); use --method eigencam'
        )
    size = (images.shape[2], images.shape[3])
    with getattr(library, _CLASSES[method])(
        model=scores, target_layers=list(layers), reshape_transform=lambda values: as_map(values, size)
    ) as cam:
        return cam(input_tensor=images, targets=[ClassifierOutputTarget(label)])[0]


def feature_maps(scores: ClassScores, images: Tensor, layer: nn.Module, number: int) -> list[tuple[int, np.ndarray]]:
    """Return (channel, (h, w) map from 0 to 1) of the `number` channels of a layer that vary most over the image."""
    kept: list[Tensor] = []
    size = (images.shape[2], images.shape[3])
    handle = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(as_map(output, size)))
    try:
        with torch.no_grad():
            scores(images)
    finally:
        handle.remove()
    maps = kept[0][0].float()
    chosen = maps.flatten(1).var(1).topk(min(number, len(maps))).indices.tolist()
    found = []
    for channel in chosen:
        values = maps[channel]
        spread = (values.max() - values.min()).clamp(min=1e-12)
        found.append((channel, ((values - values.min()) / spread).cpu().numpy()))
    return found
