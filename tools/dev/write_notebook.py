"""Write docs/ten_minutes.ipynb, the tutorial as a notebook, from docs/ten_minutes.md.

    python tools/dev/write_notebook.py     # tests/test_pages.py fails when it is out of date, and runs the page's code

Prose becomes cells of Markdown with links into the repository, each block of Python a cell of code, without outputs.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE, NOTEBOOK = ROOT / 'docs' / 'ten_minutes.md', ROOT / 'docs' / 'ten_minutes.ipynb'
REPOSITORY = 'https://github.com/mmsparseswin/mmsparseswin/blob/main/'


def _linked(prose: str) -> str:
    def absolute(link: re.Match[str]) -> str:
        return REPOSITORY + os.path.normpath(f'docs/{link[1]}')

    return re.sub(r'(?<=\]\()(?![a-z]+:|#)([^)\s]+)(?=\))', absolute, prose)


def notebook(page: str) -> dict[str, Any]:
    """Return the notebook (format 4.5) of a page."""
    cells: list[dict[str, Any]] = []
    for number, part in enumerate(re.split(r'^```python\n(.*?)^```\n', page, flags=re.DOTALL | re.MULTILINE)):
        text = part.strip('\n') if number % 2 else _linked(part).strip()
        if not text:
            continue
        cell: dict[str, Any] = {'id': f'cell-{number}', 'metadata': {}, 'source': text.splitlines(keepends=True)}
        cell['cell_type'] = 'code' if number % 2 else 'markdown'
        cells.append({**cell, 'execution_count': None, 'outputs': []} if number % 2 else cell)
    kernel = {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'}
    return {'cells': cells, 'metadata': {'kernelspec': kernel}, 'nbformat': 4, 'nbformat_minor': 5}


def main() -> None:
    """Write the notebook."""
    content = notebook(PAGE.read_text(encoding='utf-8'))
    NOTEBOOK.write_text(json.dumps(content, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    print(f'wrote {NOTEBOOK.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
