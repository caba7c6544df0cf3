"""Model of one call: a config, weights, and what can be done with them."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmsparseswin.checkpoints.training_files import check_checkpoint_file
from mmsparseswin.cli import evaluation, run_config, training
from mmsparseswin.cli.carried_config import open_carried
from mmsparseswin.cli.own_data import set_data
from mmsparseswin.cli.picture_sources import read_jobs
from mmsparseswin.cli.predictors import load_predictor, predict_jobs
from mmsparseswin.cli.progress import show_steps
from mmsparseswin.easy.results import Result, Results
from mmsparseswin.engine.precision import PRECISIONS
from mmsparseswin.engine.safe_reader import install_safe_reader
from mmsparseswin.errors import InputError
from mmsparseswin.export.exporting import check_request, export
from mmsparseswin.export.subjects import from_config
from mmsparseswin.log_filters import quiet_console
from mmsparseswin.malloc import keep_freed_memory


def load(
    model: str | Path, weights: str | Path | None = None, device: str = 'auto', precision: str = 'auto'
) -> 'Model':
    """Load a detector or classifier; from now on, mmengine reads checkpoints as data, too.

    Args:
        model: an mmdet or mmpretrain config, ``mmsparseswin::FOLDER/NAME.py`` one of ours; or weights that carry their
            config, for predictions, see :func:`mmsparseswin.cli.carried_config.open_carried`.
        weights: checkpoint of a training with this config, .pth or .safetensors; without it, train first.
        device: 'cpu', 'cuda:0', ...; 'auto' takes a GPU if there is one.
        precision: 'float32', 'bfloat16', or 'auto': predictions in float32, training as the config says.

    Raises:
        InputError: no such config, weights or precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f'precision {precision!r} is unknown; choose one of {", ".join(PRECISIONS)}')
    keep_freed_memory()
    install_safe_reader()
    if '::' in str(model) or Path(model).suffix in ('.py', '.json', '.yaml', '.yml') or weights is not None:
        cfg, chosen = run_config.load_config(str(model)), str(weights) if weights else None
    else:
        cfg, chosen = open_carried(str(model))
    if weights is not None:
        check_checkpoint_file(str(weights))
    return Model(cfg, str(model), chosen, None if device == 'auto' else device, precision)


class Model:
    """Detector or classifier of :func:`load`, with its config `cfg` and the file of its `weights`, if it has any."""

    def __init__(self, cfg: Config, name: str, weights: str | None, device: str | None, precision: str) -> None:
        self.cfg, self.weights, self._name, self._device = cfg, weights, name, device
        self._amp = {'auto': None, 'bfloat16': True, 'float32': False}[precision]
        self._predictor: Any = None

    def __repr__(self) -> str:
        return f'<Model {self._name}, {f"weights {self.weights}" if self.weights else "not trained"}>'

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label."""
        return tuple(self._load().classes)

    @property
    def network(self) -> Any:
        """The network with its weights, ready to predict: a detector of mmdet, or a classifier of mmpretrain."""
        return self._load().inferencer.model

    def predict(self, images: Any, batch_size: int = 1, score: float = 0.3, progress: bool = True) -> Results:
        """Predict all pictures of `images`; :meth:`stream` yields the results one by one.

        Args:
            images: see :func:`mmsparseswin.cli.picture_sources.read_jobs`.
            batch_size: pictures at once.
            score: detections below it are dropped.
            progress: show a progress bar.

        Raises:
            InputError: no weights yet, no picture, or a damaged one.
        """
        self._load()  # before the bar
        found = self.stream(images, batch_size, score)
        return Results(show_steps('Predicting', found) if progress else found)

    def stream(self, images: Any, batch_size: int = 1, score: float = 0.3) -> Iterator[Result]:
        """Yield the results of :meth:`predict` one by one, so that a long video needs no memory."""
        predictor, half = self._load(), run_config.tests_in_half(self._amp)
        for job, record in predict_jobs(predictor, read_jobs(images), batch_size, score, half):
            yield Result(job, record, predictor)

    def train(
        self,
        data: str | Path | None = None,
        epochs: int | None = None,
        work_dir: str | Path | None = None,
        cfg_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> 'Model':
        """Train as ``mmsparseswin train`` does; return this model, which then has the best weights and its classes.

        Args:
            data: the data, see :func:`mmsparseswin.cli.own_data.set_data`; without it those of the config.
            epochs: their number; schedules are stretched to it.
            work_dir: folder for logs and checkpoints; default ``work_dirs/<config name>``.
            cfg_options: changes of the config, ``{'train_dataloader.batch_size': 4}``.
            options: of :func:`mmsparseswin.cli.training.train`: max_minutes, pretrained, validate, resume, ...

        Raises:
            InputError: a wrong option or data set.
        """
        run_config.check_device(self._device)
        prepared = self._prepare(data, work_dir, cfg_options)
        cfg = deepcopy(prepared)
        if self.weights and not options.get('resume'):
            cfg.load_from = self.weights
        if cfg.get('test_evaluator') is None:
            cfg.test_dataloader = cfg.test_cfg = None
        try:
            with quiet_console():
                runner = training.train(cfg, epochs=epochs, amp=self._amp, **options)
        except SystemExit:
            raise KeyboardInterrupt(f'checkpoint saved in {cfg.work_dir}: train(..., resume="auto") goes on') from None
        self.weights, self.cfg, self._predictor = training.saved_weights(runner), prepared, None
        return self

    def evaluate(
        self,
        data: str | Path | None = None,
        work_dir: str | Path | None = None,
        cfg_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, float]:
        """Return the metrics of ``mmsparseswin test`` on the test data, or the validation data where there is no test.

        Args:
            data, work_dir, cfg_options: as in :meth:`train`.
            options: of :func:`mmsparseswin.cli.evaluation.evaluate`: tta, pictures, dump, ...

        Raises:
            InputError: no weights yet, a wrong option or data set.
        """
        run_config.check_device(self._device)
        cfg, weights = self._prepare(data, work_dir, cfg_options), self._weights()
        with quiet_console():
            return evaluation.evaluate(cfg, weights, amp=self._amp, **options)[0]

    def export(self, out: str | Path, shape: tuple[int, int], format: str = 'onnx', **options: Any) -> dict[str, Any]:
        """Export as ``mmsparseswin export`` does, the whole model; return what the JSON beside the file says.

        Args:
            out, shape: the file, and height and width of its pictures.
            format: 'onnx', 'openvino', 'torch-export' or 'torchscript'.
            options: ``backbone=True``, the backbone alone; and batch, order, images, nms of
                :func:`mmsparseswin.export.exporting.export`.

        Raises:
            InputError: no weights yet, a model that cannot be exported, or a file that computes other numbers.
        """
        check_request(format, Path(out), shape)
        subject = from_config(deepcopy(self.cfg), self._name, self._weights(), options.pop('backbone', False))
        return export(subject, format, Path(out), shape, **options)

    def _prepare(self, data: Any, work_dir: Any, options: dict[str, Any] | None) -> Config:
        """Return a copy of the config for a run."""
        cfg = deepcopy(self.cfg)
        if data is not None:
            set_data(cfg, data)
        run_config.merge_options(cfg, dict(options or {}))
        run_config.set_work_dir(cfg, work_dir and str(work_dir), self._name)
        return cfg

    def _weights(self) -> str:
        if self.weights is None:
            raise InputError(f'{self._name} is not trained yet: load(..., weights=FILE), or train() first')
        return self.weights

    def _load(self) -> Any:
        if self._predictor is None:
            weights = self._weights()
            with quiet_console():
                self._predictor = load_predictor(deepcopy(self.cfg), weights, self._device, 0.3)
        return self._predictor
