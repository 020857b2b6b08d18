"""Names of files that systems and programs leave in folders of photographs: no photographs, whatever they hold."""

import re
from collections.abc import Sequence
from fnmatch import translate

FOLDERS = (
    "__MACOSX", ".AppleDouble", ".Spotlight-V100", ".fseventsd", ".Trash*", ".TemporaryItems",
    ".DocumentRevisions-V100", ".AppleDB", ".AppleDesktop", "Network Trash Folder",  # macOS
    "$RECYCLE.BIN", "RECYCLER", "System Volume Information",  # Windows
    "@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", ".@__thumb", ".@__qini",  # NAS
    ".thumbnails", ".xvpics", "lost+found", ".picasaoriginals", ".comments", ".gvfs",  # Linux, programs
    ".git", ".svn", ".hg", ".dvc", ".ipynb_checkpoints", "__pycache__", ".sync", ".stfolder", ".stversions",
    ".dropbox.cache", ".tmp.drivedownload", ".tmp.driveupload",
)  # fmt: skip
FILES = (
    "._*", ".DS_Store", ".localized", "Icon\r", ".VolumeIcon.icns", ".apdisk",  # macOS
    "Thumbs.db", "Thumbs.db:*", "ehthumbs*.db", "desktop.ini", "*:Zone.Identifier", "~$*",  # Windows
    "@SynoEAStream", "*@SynoEAStream", "*@SynoResource", "SYNOPHOTO_*", "SYNOINDEX_*",  # NAS
    ".picasa.ini", "Picasa.ini", "ZbThumbnail.info", ".BridgeSort", ".BridgeLabelsAndRatings", ".directory",
    ".nomedia", ".hidden", ".database_uuid", ".dropbox", ".dropbox.attr", ".gitignore", ".gitkeep",
    ".gitattributes", ".dvcignore", ".nfs????????*", ".fuse_hidden*", ".~lock.*#", ".syncthing.*.tmp",
)  # fmt: skip


def _pattern(names: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, names)), re.IGNORECASE)


_FOLDERS, _FILES = _pattern(FOLDERS), _pattern(FILES)


def is_junk_folder(name: str) -> bool:
    """Whether a folder of this name, without its path, holds only what systems and programs left."""
    return _FOLDERS.match(name) is not None


def is_junk_file(name: str) -> bool:
    """Whether a file of this name, without its path, was left by a system or program."""
    return _FILES.match(name) is not None


def is_junk(path: str) -> bool:
    """Whether a file is junk by its name or lies in a folder that is; `path` is relative, with `/`."""
    *folders, name = path.split("/")  # no PurePath, which keeps the parts of every path in Python's table of names
    return is_junk_file(name) or any(map(is_junk_folder, folders))
