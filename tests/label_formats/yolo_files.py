"""Write YOLO data sets for tests."""

from pathlib import Path

from PIL import Image

YAML = 'train: {}\nval: {}\nnames: {}\n'


def write_yolo(
    root: Path,
    labels: dict[str, str | None],
    train: str = 'images/train',
    val: str = 'images/val',
    names: str = '[cat, dog]',
    size: tuple[int, int] = (100, 50),
) -> Path:
    """Write the pictures `SPLIT/NAME` with the text of their labels (None: no file) and data.yaml; return `root`."""
    for name, text in labels.items():
        picture = root / 'images' / f'{name}.jpg'
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', size).save(picture)
        if text is not None:
            file = root / 'labels' / f'{name}.txt'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    (root / 'data.yaml').write_text(YAML.format(train, val, names))
    return root
