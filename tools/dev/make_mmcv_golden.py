"""Write the results of mmcv's compiled operators for the cases of tests/mmcv_ops/golden_cases.py.

Run it where mmcv is compiled (bash tools/setup_env.sh --compiled-ops):

    python tools/dev/make_mmcv_golden.py
"""

import sys
from importlib.metadata import version
from pathlib import Path

import mmcv._ext
import numpy as np

TESTS = Path(__file__).resolve().parents[2] / 'tests' / 'mmcv_ops'
GOLDEN = TESTS / 'golden' / 'mmcv_golden.npz'


def main() -> None:
    """Run all cases on the compiled operators and write them into one file."""
    if Path(mmcv._ext.__file__).suffix == '.py':
        sys.exit(f'error: {mmcv._ext.__file__} is not compiled; bash tools/setup_env.sh --compiled-ops compiles mmcv')
    sys.path.insert(0, str(TESTS))
    from golden_cases import cases

    arrays = {f'{case}/{name}': array for case, run in cases() for name, array in run().items()}
    np.savez_compressed(GOLDEN, **arrays)
    made_by = f'onedl-mmcv {version("onedl-mmcv")}, torch {version("torch")}'
    print(f'{GOLDEN}: {len(arrays)} arrays by {made_by}, {GOLDEN.stat().st_size / 1024:.0f} KiB')


if __name__ == '__main__':
    main()
