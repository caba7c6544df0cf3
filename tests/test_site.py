"""The site of docs/: every page is in its navigation, and broken links and headings of a page fail the build."""

from pathlib import Path

import pytest
import yaml

mkdocs_config = pytest.importorskip('mkdocs.config', reason="the site needs pip install 'mmsparseswin[docs]'")
from mkdocs.commands.build import build  # noqa: E402
from mkdocs.exceptions import Abort  # noqa: E402

ROOT = Path(__file__).parents[1]
KINDS = ['Home', 'Tutorials', 'How-to guides', 'Reference', 'Explanation']


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml without importing what its tags name."""


_Loader.add_multi_constructor('tag:yaml.org,2002:python/', lambda loader, suffix, node: None)


@pytest.fixture(scope='module')
def settings() -> dict:
    return yaml.load((ROOT / 'mkdocs.yml').read_text(encoding='utf-8'), _Loader)


def pages(entry) -> list[str]:
    """Return the paths in a part of the navigation, from top to bottom."""
    if isinstance(entry, str):
        return [entry]
    values = entry if isinstance(entry, list) else list(entry.values())
    return [path for value in values for path in pages(value)]


def test_every_page_is_in_the_navigation_once(settings):
    named = pages(settings['nav'])
    assert sorted(set(named)) == sorted(named)
    written = {str(path.relative_to(ROOT / 'docs')) for path in (ROOT / 'docs').rglob('*.md')}
    outside = {'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'}
    outside |= {str(path.relative_to(ROOT)) for path in (ROOT / 'configs').glob('*/README.md')}
    missing = (written | outside) - set(named)
    assert not missing, f'add to nav of mkdocs.yml: {sorted(missing)}'
    assert {path for path in set(named) - written - outside if not path.startswith('api/')} == set()
    assert [next(iter(part)) for part in settings['nav']] == [kind for kind in KINDS if kind in str(settings['nav'])]


def build_page(tmp_path: Path, text: str) -> str:
    """Build a site of this page and those outside docs/, strictly, with the hooks of this project; return the page."""
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs' / 'index.md').write_text(text, encoding='utf-8')
    settings = tmp_path / 'mkdocs.yml'
    settings.write_text('{}')
    config = mkdocs_config.load_config(
        str(settings),
        site_name='one page',
        docs_dir=str(tmp_path / 'docs'),
        site_dir=str(tmp_path / 'site'),
        repo_url='https://github.com/mmsparseswin/mmsparseswin',
        theme='mkdocs',
        plugins=[],
        hooks=[str(ROOT / 'tools' / 'dev' / 'site_hooks.py')],
        strict=True,
        validation={'links': {'anchors': 'warn', 'not_found': 'warn'}},
    )
    build(config)
    return (tmp_path / 'site' / 'index.html').read_text(encoding='utf-8')


def test_links_lead_to_pages_of_the_site_or_into_the_repository(tmp_path):
    up = Path('../' * len(tmp_path.parts)) / ROOT.relative_to('/')  # from docs/ of the trial to this clone
    text = f"""# Title
[configs]({up}/configs/swin/README.md#sharded-detector), [folder]({up}/configs/ssd), [a tool]({up}/tools/train.py#L1),
[here](#title), `[code](nothing.py)`

```python
[code](nothing.py)
```
"""
    page = build_page(tmp_path, text)
    assert 'href="configs/swin/#sharded-detector"' in page
    assert 'href="configs/ssd/"' in page
    assert 'href="https://github.com/mmsparseswin/mmsparseswin/blob/main/tools/train.py#L1"' in page
    assert page.count('[code](nothing.py)') == 2
    listed = (tmp_path / 'site' / 'llms.txt').read_text(encoding='utf-8')
    assert listed.startswith('# one page\n\n> ')
    assert (
        '- [Swin](https://github.com/mmsparseswin/mmsparseswin/blob/main/configs/swin/README.md): Classifiers' in listed
    )
    changelog = (tmp_path / 'site' / 'CHANGELOG' / 'index.html').read_text(encoding='utf-8')
    assert 'href="https://github.com/mmsparseswin/mmsparseswin/blob/main/docs/' in changelog


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('[a](nothing.md)', 'the link nothing.md leads to nothing'),
        ('# Title\n[a](#titel)', 'there is no such anchor on this page'),
    ],
)
def test_a_broken_link_or_heading_fails(tmp_path, caplog, text, said):
    with pytest.raises(Abort):
        build_page(tmp_path, text)
    assert said in caplog.text
