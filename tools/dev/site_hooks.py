"""Hooks of mkdocs.yml: pages that lie outside docs/, links into the repository, the API reference.

    mkdocs build --strict     # the site, in site/; a broken link or heading fails
    mkdocs serve              # the same, at http://127.0.0.1:8000, rebuilt when a page is saved

Pages are written for GitHub: their links are relative paths of the repository. The site keeps those that lead to a page
of the site, and turns the others into addresses of the repository.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Pages of the repository that are pages of the site as well, under the same path.
OUTSIDE = ['CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md']
OUTSIDE += sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('configs/*/README.md'))
# Rooms of docs/architecture.md that people import from, with the title of their page.
ROOMS = {
    'backbones': 'Backbones',
    'checkpoints': 'Checkpoints',
    'layers': 'Layers',
    'detection': 'Detection',
    'classification': 'Classification',
    'engine': 'Training',
    'analysis': 'Analysis',
    'shapes': 'Embedded data set',
    'label_formats': 'Label formats',
    'easy': 'One call',
}
ROLE = re.compile(r':(?:class|data|func|meth|mod):(?=<code>)')
LINK = re.compile(r'(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))')
CODE = re.compile(r'(^ *(`{3,}).*?^ *\2`*$|`[^`\n]+`)', re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/ and one page per room of the API reference."""
    for path in OUTSIDE:
        files.append(File.generated(config, path, content=(ROOT / path).read_text(encoding='utf-8')))
    for room, title in ROOMS.items():
        files.append(File.generated(config, f'api/{room}.md', content=_api_page(room, title)))
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Keep the order of the pages for llms.txt."""
    config.extra['pages'] = [page.file for page in nav.pages]
    return nav


def on_post_build(config: MkDocsConfig) -> None:
    """Write llms.txt (https://llmstxt.org): each page with its title and first sentence, for language models."""
    parts = [f'# {config.site_name}\n', f'> {config.site_description}\n', '## Pages\n']
    for file in config.extra['pages']:
        address = f'{config.repo_url}/blob/main/{_source(file.src_uri)}'
        if not file.src_uri.startswith('api/'):
            title, sentence = _summary(file.content_string)
            parts.append(f'- [{title}]({address}): {sentence}'.removesuffix(': '))
    Path(config.site_dir, 'llms.txt').write_text('\n'.join(parts) + '\n', encoding='utf-8')


def _source(uri: str) -> str:
    return uri if uri in OUTSIDE else f'docs/{uri}'


def _summary(markdown: str) -> tuple[str, str]:
    """Return the title of a page and the first sentence of its prose."""
    title = re.search(r'^# (.*)$', markdown, re.MULTILINE)
    text = re.sub(r'<!--.*?-->|^ *(`{3,}).*?^ *\1`*$', '', markdown, flags=re.DOTALL | re.MULTILINE)
    prose = (part for part in re.split(r'\n\s*\n', text) if part.strip() and part.strip()[0] not in '#>|!-')
    sentence = re.split(r'(?<=[.:])\s', ' '.join(next(prose, '').split()))[0].rstrip(':')
    return title[1] if title else '', re.sub(r'!?\[([^\]]*)\]\([^)]*\)', r'\1', sentence)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave out the roles of Sphinx that docstrings write before names of code."""
    return ROLE.sub('', html)


def _api_page(room: str, title: str) -> str:
    modules = []
    for path in sorted((ROOT / 'mmsparseswin' / room).rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        if parts[-1] != '__init__':
            modules.append('.'.join(parts))
    head = f'# {title}\n\nMade from the docstrings of `mmsparseswin.{room}`, a section per file.\n\n'
    return head + '\n\n'.join(f'::: {module}' for module in modules)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links out of the site into addresses of the repository; code is left as it is.

    Raises:
        PluginError: a link leads to nothing in the repository.
    """
    source = page.file.src_uri
    here = ROOT / source if source in OUTSIDE else Path(config.docs_dir) / source
    parts = CODE.split(markdown)[::3]  # prose; the two groups of a match are the code and its fence
    code = CODE.findall(markdown)
    prose = [LINK.sub(lambda link: _link(link, here, source, config, files), part) for part in parts]
    return ''.join(text for pair in zip(prose, [*(match[0] for match in code), ''], strict=True) for text in pair)


def _link(link: re.Match[str], here: Path, source: str, config: MkDocsConfig, files: Files) -> str:
    target, anchor = link[1], link[2] or ''
    path = Path(os.path.normpath(here.parent / target))
    if not path.exists():
        raise PluginError(f'{source}: the link {target} leads to nothing')
    for folder in (Path(config.docs_dir), ROOT):
        for inside in (path, path / 'README.md'):
            name = inside.relative_to(folder).as_posix() if inside.is_relative_to(folder) else ''
            if files.get_file_from_path(name):
                return os.path.relpath(name, os.path.dirname(source) or '.') + anchor
    kind = 'tree' if path.is_dir() else 'blob'
    return f'{config.repo_url}/{kind}/main/{path.relative_to(ROOT).as_posix()}{anchor}'
