"""Check one annotation file as a whole, remember the verdict, and write the repaired copy."""

import fcntl
import gc
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.detection.data_check.boxes import Objects, check_images, check_objects
from mmsparseswin.detection.data_check.categories import check_categories
from mmsparseswin.detection.data_check.findings import Findings, Marked
from mmsparseswin.detection.data_check.ids import check_ids
from mmsparseswin.detection.data_check.reading import decode, parse, read_bytes, to_utf8
from mmsparseswin.detection.data_check.schema import RECORDS, CocoFile
from mmsparseswin.layers.processor import cache_folder

_VERSION = '4'  # raise it when the checks change, so that cached verdicts expire
_LARGE = 50 << 20  # bytes; larger files take seconds to check
_SEEN: dict[tuple, 'Verdict'] = {}  # cache of this process: val and test mostly read one file


class Verdict(msgspec.Struct):
    """Findings of the check of one annotation file."""

    path: str
    key: str  # hash of the file's bytes and of the arguments
    errors: list[str] = []
    notes: list[str] = []
    rewrite: bool = False  # a repaired copy is needed
    renumbered: bool = False  # the copy has other ids of images or categories
    objects: dict[str, Objects] = {}  # by class
    pictures: list[tuple[str, int, int]] = []  # file name, width, height
    has_object: list[bool] = []  # by picture: True if it has an object of a class, before filters
    ids: list[int] = []  # of the pictures
    marked: list[Marked] = []  # records that errors and notes are about


def check_file(
    path: str,
    option: str,
    classes: tuple[str, ...],
    masks_needed: bool,
    sections: Sequence[str] = tuple(RECORDS),
    repair_dir: str | None = None,
) -> Verdict:
    """Check the annotation file `path`, or return the cached verdict.

    Args:
        path: the file.
        option: where the config names it, for messages.
        classes: the names that the detector learns, by label.
        masks_needed: masks are trained on or scored.
        sections: the lists that it must have.
        repair_dir: folder for the repaired copy; without one no copy is written.

    Raises:
        InputError: it cannot be read at all; other errors are in the verdict.
    """
    data = read_bytes(path, option)
    digest = hashlib.blake2b(data, digest_size=16)
    digest.update(repr((_VERSION, path, classes, masks_needed, *sections)).encode())
    key = digest.hexdigest()
    # One process checks and the others wait: a check takes several times the memory of the file.
    with _one_at_a_time(key):
        if (verdict := _SEEN.get((key, repair_dir)) or _recall(key, repair_dir)) is None:
            if len(data) > _LARGE:
                print(f'checking {path} ({len(data) >> 20} MiB); the verdict is remembered', flush=True)
            with _no_garbage_collection():
                verdict = _judge(Verdict(path, key), data, option, classes, masks_needed, sections, repair_dir)
            if not verdict.errors:
                _remember(verdict)
    _SEEN[key, repair_dir] = verdict
    return verdict


def _judge(
    verdict: Verdict,
    data: bytes,
    option: str,
    classes: tuple[str, ...],
    masks_needed: bool,
    sections: Sequence[str],
    repair_dir: str | None,
) -> Verdict:
    """Fill `verdict` by checking the content `data`, and write the repaired copy if one is needed."""
    findings = Findings(verdict.path)
    data = to_utf8(data, findings)
    coco = decode(data, findings, sections)
    if coco is not None:
        verdict.objects = _check(coco, classes, option, masks_needed, findings)
        verdict.pictures = [(image.file_name, image.width, image.height) for image in coco.images]  # type: ignore[misc]
        verdict.ids = [image.id for image in coco.images]  # type: ignore[misc]
        learnt = {category.id for category in coco.categories if category.name in classes}
        with_object = {ann.image_id for ann in coco.annotations if ann.category_id in learnt}
        verdict.has_object = [image.id in with_object for image in coco.images]
    verdict.errors, verdict.notes, verdict.rewrite = findings.errors, findings.notes, findings.rewrite
    verdict.marked = findings.marked
    verdict.renumbered = any(
        'original_id' in fields
        for section in ('images', 'categories')
        for fields in findings.fields.get(section, {}).values()
    )
    if verdict.rewrite and not verdict.errors and repair_dir is not None:
        content = parse(data, verdict.path)
        content.setdefault('annotations', [])
        write_atomically(repaired_path(verdict, repair_dir), json.dumps(findings.apply(content)).encode())
    return verdict


def repaired_path(verdict: Verdict, repair_dir: str) -> str:
    """Return the path of the repaired copy in `repair_dir`."""
    return os.path.join(os.path.abspath(repair_dir), f'{Path(verdict.path).stem}.{verdict.key[:12]}.json')


def _check(
    coco: CocoFile, classes: tuple[str, ...], option: str, masks_needed: bool, findings: Findings
) -> dict[str, Objects]:
    if not coco.images:
        findings.refuse('it lists no images')
        return {}
    check_images(coco, findings)
    check_ids(coco, findings)
    if not findings.errors:
        check_categories(coco, classes, option, findings)
    return {} if findings.errors else check_objects(coco, classes, masks_needed, findings)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause garbage collection, which would search millions of new lists for cycles that they lack."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _cache_file(key: str) -> Path:
    return cache_folder() / 'data_check' / f'{key}.json'


@contextmanager
def _one_at_a_time(key: str) -> Iterator[None]:
    """Hold a lock for `key` among the processes of this machine, if files can be locked."""
    with ExitStack() as stack:
        with suppress(OSError):
            lock = _cache_file(key).with_suffix('.lock')
            lock.parent.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context(lock.open('w')), fcntl.LOCK_EX)
        yield


def _recall(key: str, repair_dir: str | None) -> Verdict | None:
    """Return the cached verdict, for a repaired file only if its copy exists."""
    try:
        verdict = msgspec.json.decode(_cache_file(key).read_bytes(), type=Verdict)
    except (OSError, msgspec.MsgspecError):
        return None
    lacks_copy = verdict.rewrite and repair_dir is not None and not os.path.isfile(repaired_path(verdict, repair_dir))
    return None if verdict.key != key or lacks_copy else verdict


def _remember(verdict: Verdict) -> None:
    with suppress(OSError):  # with a read-only home the file is checked again each time
        write_atomically(_cache_file(verdict.key), msgspec.json.encode(verdict))
