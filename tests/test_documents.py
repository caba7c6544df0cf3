"""Every page, heading, link and path that code and pages cite is in a clone; nothing cites what a clone lacks."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ('mmsparseswin', 'configs', 'tools', 'tests', 'docs', 'examples', '.ci', '.github')
SUFFIXES = {'.py', '.md', '.sh', '.yml', '.yaml', '.toml', '.cff'}
FILES = [path for path in sorted(ROOT.iterdir()) if path.is_file() and path.suffix in SUFFIXES]
FILES += [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob('*'))
    if path.suffix in SUFFIXES and path.is_file() and '.mim' not in path.parts  # links to configs/ and tools/
]
PAGES = [path for path in FILES if path.suffix == '.md']

# A page of this repository, and headings of it in single quotes: docs/models/swin.md, 'SwinViT' and 'SwinViT recipe'
CITATION = re.compile(r'(?<![\w/.-])((?:docs|configs)/[\w./-]+\.md)')
HEADINGS = re.compile(CITATION.pattern + r"((?:(?:,? and|,) '[^']+')+)")
MARKDOWN = re.compile(r'(?<![\w/.:-])(?:[\w.-]+/)*[\w.-]+\.md\b')
LINK = re.compile(r'\]\((?![a-z]+:)([^)\s]*)\)')
REPOSITORY_PATH = re.compile(r'(?<![\w/.-])((?:tools|configs|tests|docs|\.ci|\.github|mmsparseswin)/[\w./-]+\w)')
# Words that stand for any name in a path: docs/models/NAME.md, WORK_DIR/table.md.
STAND_INS = {'NAME', 'CONFIG', 'WORK_DIR'}
# Folders beside the clone, other people's machines, documents without a name.
OUTSIDE = re.compile(r'/opt/|\b[Ss]pecs?\b|\b[Tt]he issue\b|\b[Ii]ssue #?\d')
OUTSIDE_CODE = re.compile(r"\.\./shared|'shared[/']|/work/")


@cache
def prose(path: Path) -> str:
    """Return what a file says to people, in one line: comments and docstrings of code, all of a page."""
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.py':
        said = [match[1] for match in re.finditer(r'(?:^|\s)#+ ?(.*)$', text, re.MULTILINE)]
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        said += [ast.get_docstring(node) or '' for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
        text = '\n'.join(said)
    elif path.suffix != '.md':
        text = '\n'.join(match[1] for match in re.finditer(r'(?:^|\s)#+ ?(.*)$', text, re.MULTILINE))
    return ' '.join(text.split())


@cache
def headings(page: Path) -> frozenset[str]:
    text = re.sub(r'^```.*?^```', '', page.read_text(encoding='utf-8'), flags=re.DOTALL | re.MULTILINE)
    return frozenset(match[1].strip() for match in re.finditer(r'^#+ (.*)$', text, re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """Return GitHub's anchors of a page's headings."""
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings(page)}


def is_pattern(path: str) -> bool:
    return bool(STAND_INS & {part.partition('.')[0] for part in path.split('/')})


def wrong_citations(text: str) -> list[str]:
    wrong = [match[1] for match in CITATION.finditer(text)]
    wrong = [path for path in wrong if not (ROOT / path).is_file() and not is_pattern(path)]
    for match in HEADINGS.finditer(text):
        page = ROOT / match[1]
        if page.is_file():
            wrong += [heading for heading in re.findall(r"'([^']+)'", match[2]) if heading not in headings(page)]
    return wrong


@pytest.mark.parametrize('folder', [*FOLDERS, '.'])
def test_every_cited_page_and_heading_exists(folder):
    here = [path for path in FILES if path.relative_to(ROOT).parts[0] == folder or path.parent == ROOT / folder]
    assert [(str(path.relative_to(ROOT)), wrong) for path in here if (wrong := wrong_citations(prose(path)))] == []


def test_a_wrong_citation_is_found():
    assert wrong_citations("as in docs/models/swin.md, 'SwinViT' and 'SwinViT recipe'. 'Other words'") == []
    assert wrong_citations("see docs/models/swin.md, 'SwinViT' and 'Nothing'") == ['Nothing']
    assert wrong_citations('see docs/models/nothing.md') == ['docs/models/nothing.md']
    cited = [match[0] for path in FILES if path.suffix == '.py' for match in HEADINGS.finditer(prose(path))]
    assert len(cited) > 40


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_path_of_a_page_exists(page):
    text = page.read_text(encoding='utf-8')
    wrong = []
    for link in LINK.findall(text):
        target, _, anchor = link.partition('#')
        file = (page.parent / target).resolve() if target else page
        inside = file == ROOT or ROOT in file.parents
        if not (inside and file.exists()) or (anchor and anchor not in anchors(file)):
            wrong.append(link)
    wrong += [path for path in REPOSITORY_PATH.findall(text) if not (ROOT / path).exists() and not is_pattern(path)]
    assert wrong == []


def test_nothing_cites_what_a_clone_lacks():
    wrong = []
    names = {page.name for page in PAGES}
    for path in FILES:
        if path == Path(__file__):
            continue
        text = prose(path)
        code = path.read_text(encoding='utf-8')
        for match in (*OUTSIDE.finditer(text), *OUTSIDE_CODE.finditer(code)):
            wrong.append(f'{path.relative_to(ROOT)}: {match[0]}')
        wrong += [
            f'{path.relative_to(ROOT)}: {match[0]}'
            for match in MARKDOWN.finditer(text)
            if Path(match[0]).name not in names and not is_pattern(match[0])
        ]
    assert wrong == []


def test_names_that_the_guide_gives_are_there():
    pairs = re.findall(r'`(\w+)` (?:in|of) `([\w./]+)`', prose(ROOT / 'CONTRIBUTING.md'))
    assert len(pairs) > 5
    assert [pair for pair in pairs if pair[0] not in (ROOT / pair[1]).read_text(encoding='utf-8')] == []


def test_the_citation_file_names_this_version():
    version = re.search(r"__version__ = '(.+)'", (ROOT / 'mmsparseswin/__init__.py').read_text())
    assert f'\nversion: {version[1]}\n' in (ROOT / 'CITATION.cff').read_text()
