"""Write docs/errors.md: every `error:` line of the project with what to do, read from the code.

    python tools/dev/write_errors_page.py     # rewrite the page; tests/test_errors_page.py fails when it is out of date

A message is the text of an InputError, or a text that ends up in one: findings of the data checks, faults of labels,
and what the tools say of errors of other libraries. Words in capitals stand for what the message names.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'errors.md'
# Calls whose argument of this number is a message.
CALLS = {
    'InputError': 0,
    'RefusedError': 0,
    'LabelError': 0,
    'parser.error': 0,
    'findings.refuse': 0,
    'problems.add': 2,
}
# Functions that return messages.
FUNCTIONS = {'user_message', '_explain', 'size_mismatch'}
TITLES = {
    'commands': 'Commands',
    'tools': 'Options of the tools',
    'cli': 'Configs and options',
    'easy': 'From Python',
    'checkpoints': 'Checkpoints and weights',
    'hub': 'Folders and model hubs',
    'backbones': 'Backbones',
    'layers': 'Layers',
    'engine': 'Training and testing',
    'detection': 'COCO data and detectors',
    'classification': 'Class folders and classifiers',
    'label_formats': 'Labels to convert',
    'generation': 'Drawing pictures',
    'shapes': 'The embedded data set',
    'small files': 'Images and installation',
    'analysis': 'Attention, features, counts',
    'visualization': 'Pictures and reports',
    'benchmark': 'Benchmarks',
    'export': 'Export',
    'demo': 'The page in the browser',
    'runtime': 'Exported files',
}
# What to do begins behind one of these signs with one of these words.
_WORDS = """add ask build cast check choose convert copy correct create cut delete download draw export fill
    free give install keep known label leave list lower make mend must name number open pass pip predict put raise
    remove rename repeat resize resume run save say scale see set split start take train try turn use work write
    only tools/
    Fetch Lower Name Choose Use"""
_WORDS = '|'.join([*_WORDS.split(), 'did you mean', 'one of', 'here are', 'it has', 'it takes', '(it|they) must'])
_ADVICE = re.compile(rf'(?:; |: |\. )(?=(?:or |so |then |first )?(?:{_WORDS})\b)')
# What to do where the message does not say it itself: the first expression that it matches counts.
_REMEDIES = (
    (r'has no command', '`mmsparseswin --help` lists the commands; the line names the nearest.'),
    (
        r'^(give|name|set|use|choose|write) |^--\S+ (and \S+ )?must|must (be|say|list|come|name|have)',
        'Do as the line says.',
    ),
    (r'weights are incomplete', 'Take the whole file: a part does not tell which model it belongs to.'),
    (r'none of the (images|pictures) could be read', 'The lines above it give the reason for each picture.'),
    (r'corrupt|cut off|is empty|no part of the|zip archive', 'Download or copy the original file again.'),
    (r'no training writes|too deep|than .* to read|unfolds', 'Do not use the file: take it from another source.'),
    (r'instead of a dict|no tensors|no weights', 'Save `model.state_dict()`, or take the checkpoint of a training.'),
    (r'both stand for|twice|more than once|several', 'Keep one of them.'),
    (r'no backbone (knows|has)|not weights of|no known|SparseSwinDet has', '[Weights](weights.md) lists what is read.'),
    (r'no place in the model|has shape .* need|other weights', 'The file was changed or mixed: take the original.'),
    (r'no COCO data set|is no detector', 'Name the config of a detector.'),
    (r'is no classifier', 'Name the config of a classifier.'),
    (r' end in ', 'Give the file a name with one of these ends.'),
    (r'^--format NAME needs', "`pip install 'mmsparseswin[export]'`"),
    (r'WHERE has no model', 'Name the config of a detector or a classifier.'),
    (r'predicts otherwise', 'Export its backbone: `--backbone`.'),
    (r'no exported model', 'Check the path.'),
    (r'^(onnxruntime|OpenVINO) cannot read|its JSON file says', 'Copy all files again, or export the model again.'),
    (r'bgr or rgb', 'Write one of the two.'),
    (r'not of the form', 'Write it in the form that the line names.'),
    (r'has no config', 'Name a file of `configs/` without that folder, as `swin/NAME.py`.'),
    (r'config .*has no |config names no ', 'Add this part to the config, or name one that has it.'),
    (r'lacks \w+, which', 'Add the argument that is named.'),
    (r'needs (GPUs|whole tensors)', 'Leave the option out here.'),
    (r'failed; its log', 'Read the end of that log.'),
    (r'such images', 'Ask for fewer images, or drop the condition on them.'),
    (
        r'no such file|does not exist|is nowhere|^no \w+ (or \w+ )?(at|below|in|file)|no folder|no picture',
        'Check the path.',
    ),
    (r'cannot be written|[Cc]annot write', 'Choose a folder that you may write to and that has space.'),
    (r'(cannot|could not) be read', 'Check that the file is whole and that you may read it.'),
    (r'names the classes', "Give the config's data sets `metainfo=dict(classes=(...))`."),
    (
        r'in the file|another architecture|not fit|no tensor (fits|starts)|belongs to no|no linear layer|'
        r'number of classes at|cannot be loaded|more than the model| only$',
        'Take the config, `arch` and number of classes that the weights were trained with.',
    ),
    (
        r'blocks are there|spans .* positions|bias table|bias_table',
        'The file is of another model: [Weights](weights.md).',
    ),
    (
        r'cannot be resumed',
        'Take the config of that training, or start from its weights: `--cfg-options load_from=FILE`.',
    ),
    (r'trust-checkpoint$', 'Only for files that you made yourself: `--trust-checkpoint` runs the code in them.'),
    (r'is not JSON|is no YAML', 'Mend the file at the place that the line gives, or export it again.'),
    (r'names no file', 'Give the address of the file itself.'),
    (r'has no SparseSwin|has no backbone', 'Leave out the hook, or take a backbone that has it.'),
    (r'cannot be built', 'Correct the part of the config that is named.'),
    (r'can be written to', 'Give the file one of these suffixes.'),
    (r'leads out of', 'Name a folder inside it.'),
    (r'cannot be made: ', 'Choose a folder that you may write to.'),
    (r'is not in the cache', 'Load it once with a network and without `HF_HUB_OFFLINE`.'),
    (r'are for a bare backbone|go to create_model', 'Leave these options out, or take the `backbone` of the model.'),
    (r'nothing reads', 'Change the config file, or the keys that use the variable.'),
    (r'--pretrained starts', 'Set `init_cfg` of that backbone.'),
    (r'--amp changes', 'Leave `--amp` out.'),
    (r'and the model has', 'Do as the line says.'),
    (r'round_up', 'Leave it `True`.'),
    (r'no curves yet', 'Wait for the first line of the log, or name the work dir of a config of this project.'),
    (r'the runs have', 'Write a pattern that fits one of these names.'),
    (r'can be drawn|in training only', 'It cannot be drawn before; the log of the training shows the rates.'),
    (r'single batch', 'Take more images, or smaller batches.'),
    (r'nothing is left to time', 'The line gives the reason for each model.'),
    (r'not a result of', 'Name a JSON file that `mmsparseswin benchmark` wrote.'),
    (r'needs the lines', 'Add both lines to the page.'),
    (r'maps|levels', 'Make the lists equally long: one entry per map.'),
    (r'usage:', 'Call the command as the line shows.'),
    (
        r'unknown|is no name|no such|has no option|not take|none of ',
        'Write one of the names that exist; the line gives them.',
    ),
    (
        r'at least|at most|is less than|outside|not divide|no number|is no index',
        'Give a value in the range that is named.',
    ),
    (r'not finite|NaN|infinite', 'Remove or repair the values that are not finite.'),
    (r'nothing written|is left in', 'Check that SOURCE is the folder with the labels.'),
    (r'--errors draws|merges boxes only|one view|cannot be used', 'Leave the option out.'),
    (r'budget', 'Give more minutes.'),
    (r'cannot be compared|differs from', 'Compare results of one kind of machine and model only.'),
)
_DEFAULTS = {
    'checkpoints': 'Take the file from its source again; [Weights](weights.md) lists what is read.',
    'engine': 'Change the setting of the config that is named.',
    'cli': 'Change the key of the config or the option that is named.',
    'detection': 'Mend the annotation file; `mmsparseswin browse CONFIG --errors` draws the pictures it is about.',
    'classification': 'Mend the folder or list that is named; see [Classification](classification.md#data).',
    'label_formats': 'Mend that place, or pass `--leave-out`; [Your own data](own_data.md#how-labels-are-read).',
    'easy': '[From Python](python.md) shows each call.',
    'backbones': 'Change the option or the weights that are named; `help()` of the class lists its options.',
    'hub': 'Look at the name and content of the folder or repository; [Weights](weights.md#folders-and-model-hubs).',
    'layers': 'Change the option that is named.',
    'analysis': 'Give a model of this project and images of one size.',
}
_DEFAULT = 'Change the option that is named; `--help` lists all of them.'
HEAD = """# Errors and what they mean

<!-- Written by tools/dev/write_errors_page.py from the code; do not edit. -->

Wrong input ends every command with exit code 2 and one line that begins with `error:`. Below is each such
line that this project can print, by the part of the program that finds the mistake. Words in CAPITALS stand
for what the line names. `MMSPARSESWIN_VERBOSE=1` shows the traceback before it. A traceback without an
`error:` line is a bug: please [report it](https://github.com/mmsparseswin/mmsparseswin/issues).
"""


class Message(NamedTuple):
    """One message: the room and file it comes from, its template, and what to do."""

    room: str
    file: str
    text: str
    remedy: str


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the room and path of every file of code, rooms in the order of the page."""
    for room in TITLES:
        if room == 'tools':
            paths = [path for path in root.glob('tools/**/*.py') if 'dev' not in path.parts]
        elif room in ('commands', 'small files'):
            starters = {'command.py', 'doctor.py', 'installation.py', '__main__.py'}
            paths = [path for path in root.glob('mmsparseswin/*.py') if (path.name in starters) == (room == 'commands')]
        else:
            paths = [*root.glob(f'mmsparseswin/{room}/**/*.py')]
        yield from ((room, path) for path in sorted(paths))


def _place(node: ast.expr) -> str:
    """Return the word in capitals that stands for the value of an expression."""
    if isinstance(node, ast.Attribute):
        if node.attr == '__name__':
            return 'TYPE'
        return node.attr.strip('_').upper()
    if isinstance(node, ast.Name):
        return node.id.strip('_').upper()
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition('.')[2]
        if name in ('list_models', 'presets'):
            return 'NAMES'
        if name == 'len':
            return 'NUMBER'
        if node.args:
            return _place(node.args[0])
        return _place(node.func.value) if isinstance(node.func, ast.Attribute) else name.upper()
    if isinstance(node, ast.Subscript | ast.Starred):
        return _place(node.value)
    if isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp):
        return _place(node.generators[0].iter)
    if isinstance(node, ast.Tuple | ast.List) and node.elts:
        return _place(node.elts[0])
    return 'VALUE'


class _Templates:
    """Templates of the messages in one function; names are looked up in it and among the constants of its file."""

    def __init__(self, tree: ast.Module, function: ast.AST) -> None:
        self.values: dict[str, list[ast.expr]] = {}
        for node in [*tree.body, *ast.walk(function)]:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.values.setdefault(node.targets[0].id, []).append(node.value)

    def of(self, node: ast.expr, depth: int = 0) -> list[str]:
        """Return the templates that an expression may give; none if it is no text that the code writes."""
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else []
        if isinstance(node, ast.IfExp):
            return [*self.of(node.body, depth), *self.of(node.orelse, depth)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return [a + b for a in self.of(node.left, depth) or [''] for b in (self.of(node.right, depth) or [''])[:1]]
        if isinstance(node, ast.Name) and depth < 2:
            return [text for value in self.values.get(node.id, ()) for text in self.of(value, depth + 1)]
        if isinstance(node, ast.JoinedStr):
            return [''.join(self._piece(piece, depth) for piece in node.values)]
        return []

    def _piece(self, piece: ast.expr, depth: int) -> str:
        if isinstance(piece, ast.Constant):
            return str(piece.value)
        assert isinstance(piece, ast.FormattedValue)
        value = piece.value
        name = value.func if isinstance(value, ast.Call) else value
        if isinstance(name, ast.Name) and name.id in ('more', 'hint', 'suggest', 'suggest_class'):
            return ''  # the nearest names, if there are any
        if isinstance(value, ast.Name | ast.IfExp | ast.JoinedStr):
            texts = [text for text in self.of(value, depth + 1) if text]
            if len(texts) == 1:
                return texts[0]
        return _place(value)


def _said(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Yield each expression that gives a message, with the function around it."""
    around: dict[ast.AST, ast.AST] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                around[node] = function  # the innermost comes last
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            number = CALLS.get(name, CALLS.get(name.removeprefix('self.')))
            if number is not None and len(node.args) > number:
                yield around.get(node, tree), node.args[number]
        elif isinstance(node, ast.Return) and node.value is not None:
            function = around.get(node, tree)
            if isinstance(function, ast.FunctionDef) and function.name in FUNCTIONS:
                yield function, node.value


def _split(text: str, room: str) -> tuple[str, str]:
    """Return what is wrong, and what to do."""
    places = [match for match in _ADVICE.finditer(text) if match.start() > 2]
    if places:
        advice = text[places[0].end() :].strip().rstrip('.')
        if len(advice) > 6:
            return text, f'`{advice}`' if advice.startswith(('pip ', 'tools/')) else f'{advice[0].upper()}{advice[1:]}.'
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, text):
            return text, remedy
    return text, _DEFAULTS.get(room, _DEFAULT)


def messages(root: Path = ROOT) -> list[Message]:
    """Return every message of the code below `root`, in the order of the page, each once per file."""
    found: dict[tuple[str, str], Message] = {}
    for room, path in _files(root):
        file = path.relative_to(root).as_posix()
        tree = ast.parse(path.read_text(encoding='utf-8'))
        for function, node in sorted(_said(tree), key=lambda said: (said[1].lineno, said[1].col_offset)):
            for template in _Templates(tree, function).of(node):
                text = ' '.join(template.split())
                if len(re.findall(r'[a-z]{2,}', text)) < 2 or text.startswith('('):
                    continue  # made of other messages alone, or the end of one
                found.setdefault((file, text), Message(room, file, *_split(text, room)))
    return list(found.values())


def write_page(found: list[Message]) -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for room, title in TITLES.items():
        here = [message for message in found if message.room == room]
        if here:
            parts.append(f'## {title}\n')
        for file in dict.fromkeys(message.file for message in here):
            parts.append(f'From `{file}`:\n\n| `error:` | What to do |\n| --- | --- |')
            rows = [message for message in here if message.file == file]
            parts.append('\n'.join(f'| {_code(row.text)} | {_plain(row.remedy)} |' for row in rows) + '\n')
    return '\n'.join(parts)


def _code(text: str) -> str:
    fence = '``' if '`' in text else '`'
    return f'{fence} {text} {fence}'.replace('|', '\\|') if '`' in text else f'`{text}`'.replace('|', '\\|')


def _plain(text: str) -> str:
    """Return advice from a message with its options and paths as code; our own remedies are Markdown already."""
    if '](' not in text and '`' not in text:
        words = re.findall(r'[\w.]+\([^()]*\)[,.;:]*|\[[^\[\]]*\][,.;:]*|\S+', text)
        text = ' '.join(map(_word, words))
    return text.replace('|', '\\|')


def _word(word: str) -> str:
    lead = '(' if word.startswith('(') else ''
    core = word.removeprefix(lead).rstrip(',.;:' + ('' if '(' in word[1:] else ')'))
    is_code = re.search(r'[*_<>\[\]=/]|^--|\)$', core)
    return f'{lead}`{core}`{word[len(lead) + len(core) :]}' if is_code else word


def main() -> None:
    """Rewrite the page."""
    found = messages()
    PAGE.write_text(write_page(found), encoding='utf-8')
    print(f'wrote {PAGE.relative_to(ROOT)}: {len(found)} messages')


if __name__ == '__main__':
    main()
