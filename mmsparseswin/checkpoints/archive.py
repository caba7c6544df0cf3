"""Check the zip archive that torch.save writes: whole, not compressed, every member as its checksum says."""

import zipfile
from collections import Counter
from pathlib import Path

from mmsparseswin.errors import InputError

_CHUNK = 2**20
_LOCAL_HEADER = 30  # bytes in front of a member's name


def check_members(path: Path) -> Counter[int]:
    """Check the table of contents: torch maps members into memory as they lie in the file.

    Returns:
        the sizes of the members, each of which holds the numbers of one or more tensors or something smaller.

    Raises:
        InputError: cut off, no torch file, or members that are compressed, encrypted, doubled or overlapping.
    """
    with _opened(path) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        if not any(name.endswith('data.pkl') for name in archive.namelist()):
            raise InputError(f'{path} is a zip archive, not a checkpoint')
        odd = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED or m.compress_size != m.file_size]
        if odd:
            raise InputError(
                f'{path} was compressed again ({len(odd)} of its {len(members)} parts), which torch.save never does: '
                'use the original, or unzip it and zip it with -0'
            )
        ends = [member.header_offset for member in members[1:]] + [archive.start_dir]
        overlap = any(
            member.header_offset + _LOCAL_HEADER + len(member.filename.encode()) + member.file_size > end
            for member, end in zip(members, ends, strict=True)
        )
        if overlap or len({member.filename for member in members}) < len(members):
            raise InputError(f'{path} is a zip archive with doubled or overlapping parts, not what torch.save writes')
        return Counter(member.file_size for member in members)


def check_sums(path: Path) -> None:
    """Read every member and compare its checksum; about 1 GB a second.

    Raises:
        InputError: a member differs; it is named.
    """
    with _opened(path) as archive:
        for member in archive.infolist():
            try:
                with archive.open(member) as file:
                    while file.read(_CHUNK):
                        pass
            except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
                raise InputError(
                    f'{path} is corrupt: {member.filename} is not as it was written ({error}); copy or download it '
                    'again'
                ) from error


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        raise InputError(f'checkpoint {path} is cut off or corrupt: copy or download it again') from error
