"""Draw the imports between the rooms of the package as a mermaid block in docs/architecture.md.

    python tools/dev/draw_architecture.py           # rewrite the picture
    python tools/dev/draw_architecture.py --edges   # print every import between two rooms, lazy ones marked

The order of imports is `LEVELS`; tests/test_imports.py checks it, and that the picture is up to date.
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'architecture.md'
BEGIN, END = '<!-- begin: drawn by tools/dev/draw_architecture.py -->', '<!-- end -->'

# A module imports from its own room and from lower levels; rooms of one level do not know each other.
LEVELS: tuple[tuple[str, ...], ...] = (
    ('small files', 'mmcv_ops'),
    ('layers', 'runtime'),
    ('checkpoints',),
    ('hub',),
    ('backbones',),
    ('engine', 'detection', 'classification', 'generation', 'shapes', 'label_formats'),
    ('cli',),
    ('analysis', 'export'),
    ('benchmark', 'visualization'),
    ('easy',),
    ('demo',),
    ('commands',),
    ('tools',),
)
# Files of the package's root folder that start programs; the other files there are small.
COMMANDS = frozenset({'__main__', 'command', 'doctor', 'installation'})


class Edge(NamedTuple):
    """One import: the importing module, the imported one, and True if it runs inside a function only."""

    source: str
    target: str
    lazy: bool


def module_names(root: Path = ROOT) -> dict[str, Path]:
    """Return dotted module name -> file of every module of the package and of `tools/`."""
    modules = {}
    for path in (*root.glob('mmsparseswin/**/*.py'), *root.glob('tools/**/*.py')):
        parts = path.relative_to(root).with_suffix('').parts
        if '.mim' not in parts:
            modules['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return dict(sorted(modules.items()))


def _imports(tree: ast.AST, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING':
            continue  # never executed
        if isinstance(node, ast.Import):
            yield from ((alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f'{node.module}.{alias.name}', lazy) for alias in node.names)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(node, lazy or inside)


def read_edges(modules: dict[str, Path]) -> list[Edge]:
    """Return the imports among `modules`; relative imports are an error of ruff and are not read."""
    edges = set()
    for source, path in modules.items():
        for name, lazy in _imports(ast.parse(path.read_text(encoding='utf-8'))):
            target = name
            while target and target not in modules:
                target = target.rpartition('.')[0]
            if target and target != source:
                edges.add(Edge(source, target, lazy))
    return sorted(edges)


def room(module: str) -> str:
    """Return the room of a module: a folder of the package, 'small files', 'commands' or 'tools'."""
    top, *rest = module.split('.')
    if top == 'tools':
        return 'tools'
    folders = {name for level in LEVELS for name in level}
    if rest and rest[0] in folders:
        return rest[0]
    return 'commands' if rest and rest[0] in COMMANDS else 'small files'


def level(name: str) -> int:
    """Return the level of a room, 0 at the bottom."""
    return next(index for index, names in enumerate(LEVELS) if name in names)


def wrong_edges(edges: list[Edge]) -> list[Edge]:
    """Return the imports that run up, or across to another room of the same level."""
    pairs = ((edge, room(edge.source), room(edge.target)) for edge in edges)
    return [edge for edge, source, target in pairs if source != target and level(source) <= level(target)]


def find_circle(edges: list[Edge]) -> list[str]:
    """Return the modules of one circle of imports, lazy ones included, first = last; [] if there is none."""
    targets: dict[str, list[str]] = {}
    for edge in edges:
        targets.setdefault(edge.source, []).append(edge.target)
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in targets.get(module, ()):
            if circle := visit(target, [*path, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in targets if (circle := visit(module, []))), [])


def mermaid(edges: list[Edge]) -> str:
    """Return the picture: an arrow from each room to each room it imports, dotted if every import is lazy."""
    arrows: dict[tuple[str, str], bool] = {}
    for edge in edges:
        pair = room(edge.source), room(edge.target)
        if pair[0] != pair[1] and pair[1] != 'small files':
            arrows[pair] = arrows.get(pair, True) and edge.lazy
    lines = ['```mermaid', 'flowchart TD']
    for names in reversed(LEVELS):
        lines += [f'    {name.replace(" ", "_")}["{name}"]' for name in names]
    for (source, target), lazy in sorted(arrows.items()):
        lines.append(f'    {source.replace(" ", "_")} {"-.->" if lazy else "-->"} {target.replace(" ", "_")}')
    return '\n'.join([*lines, '```'])


def redraw(page: str, picture: str) -> str:
    """Return the text of the page with `picture` between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f'{before}{BEGIN}\n{picture}\n{END}{rest.partition(END)[2]}'


def main() -> None:
    """Rewrite the picture, or print the imports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--edges', action='store_true', help='print the imports between rooms instead')
    args = parser.parse_args()
    edges = read_edges(module_names())
    if args.edges:
        for edge in edges:
            if room(edge.source) != room(edge.target):
                print(f'{edge.source} -> {edge.target}{" (lazy)" if edge.lazy else ""}')
        return
    PAGE.write_text(redraw(PAGE.read_text(encoding='utf-8'), mermaid(edges)), encoding='utf-8')
    print(f'wrote {PAGE.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
