"""Which ``lctl`` commands a manager may have run: those that read, and those a site allows (W-S8).

``lctl`` runs as root and some of its commands write files or destroy configuration, so what is
not allowed is refused. An allowance is a line of patterns, one for each word; the last one holds
for all words that follow: ``set_param obdfilter.*`` allows any number of such parameters, and no
option before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

__all__ = ["READING_COMMANDS", "command_words", "is_allowed"]

READING_COMMANDS = (
    "barrier_stat",
    "device_list",
    "dl",
    "get_param",
    "interface_list",
    "lfsck_query",
    "list_nids",
    "list_param",
    "llog_catlist",
    "llog_info",
    "llog_print",
    "lustre_build_version",
    "nodemap_info",
    "peer_list",
    "ping",
    "pool_list",
    "route_list",
    "show_route",
    "snapshot_list",
    "version",
    "which_nid",
)
WITH_VALUE = frozenset({"--device", "--net"})


def command_words(arguments: Sequence[str]) -> Sequence[str]:
    """Return the command and its arguments, without the options that choose a device or a net."""
    words = list(arguments)
    while len(words) >= 2 and words[0] in WITH_VALUE:
        del words[:2]
    return words


def is_allowed(arguments: Sequence[str], allowed: Sequence[str]) -> bool:
    """Tell whether a command reads only, or fits one of the site's allowances."""
    words = command_words(arguments)
    if not words:
        return False
    return words[0] in READING_COMMANDS or any(fits(words, entry.split()) for entry in allowed)


def fits(words: Sequence[str], patterns: Sequence[str]) -> bool:
    """Tell whether words fit an allowance; one that names only a command allows any arguments."""
    if len(patterns) == 1:
        return fnmatchcase(words[0], patterns[0])
    if len(words) < len(patterns):
        return False
    padded = [*patterns, *[patterns[-1]] * (len(words) - len(patterns))]
    return all(fnmatchcase(word, pattern) for word, pattern in zip(words, padded, strict=True))
