"""All that a plugin author imports. The public face of the room, and nothing else.

``docs/plugin-author.md`` builds a whole plugin on it in forty lines.
"""

from emf_agent.plugin.action import Action, ArgumentsError, ResultError, action
from emf_agent.plugin.context import ActionContext, DaemonContext, Progress
from emf_agent.plugin.daemon import (
    Daemon,
    DaemonError,
    DaemonFactory,
    DaemonFault,
    FatalStartError,
    NotApplicableError,
    NotReadyError,
    Payload,
)
from emf_agent.plugin.hooks import (
    ENTRY_POINT_GROUP,
    ActionFinished,
    ActionNotice,
    HookSpecs,
    NodeFacts,
    hookimpl,
)
from emf_agent.plugin.secret import Secret
from emf_agent.plugin.series import Counter, Gauge, SeriesKey, SeriesName

__all__ = [
    "ENTRY_POINT_GROUP",
    "Action",
    "ActionContext",
    "ActionFinished",
    "ActionNotice",
    "ArgumentsError",
    "Counter",
    "Daemon",
    "DaemonContext",
    "DaemonError",
    "DaemonFactory",
    "DaemonFault",
    "FatalStartError",
    "Gauge",
    "HookSpecs",
    "NodeFacts",
    "NotApplicableError",
    "NotReadyError",
    "Payload",
    "Progress",
    "ResultError",
    "Secret",
    "SeriesKey",
    "SeriesName",
    "action",
    "hookimpl",
]
