"""Order of the channels of pictures that a config's pipelines read."""

from mmengine.config import Config


def read_order(cfg: Config, split: str = 'test') -> str:
    """Return 'bgr' or 'rgb', the channels' order that the pipeline of `split` hands to the model's preprocessor.

    Files are read as BGR, and so are pictures where no config tells a pipeline; data sets that hold pixels, as CIFAR's,
    give RGB.
    """
    data = (cfg.get(f'{split}_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in data and (inside := data.get('dataset') or data.get('datasets')):
        data = inside if isinstance(inside, dict) else inside[0]  # of a data set that repeats or joins others
    pipeline = data.get('pipeline')
    reads_files = pipeline is None or any('LoadImage' in str(step.get('type')) for step in pipeline)
    return 'bgr' if reads_files else 'rgb'
