"""``lnetctl`` of a simulated node: nets, statistics, settings, in its YAML."""

from __future__ import annotations

from emf_plugins_lustre.testing.exits import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from emf_plugins_lustre.testing.simulation import Simulation

__all__ = ["answer"]

MESSAGES_A_SECOND = 90
OPERATIONS = ("put", "get", "reply", "ack", "hello")
GLOBAL = {
    "numa_range": 0,
    "max_interfaces": 200,
    "discovery": 1,
    "drop_asym_route": 0,
    "retry_count": 2,
    "transaction_timeout": 50,
    "health_sensitivity": 100,
    "recovery_interval": 1,
    "router_sensitivity": 100,
}


def answer(simulation: Simulation, _name: str, arguments: Sequence[str]) -> str:
    """Answer one call."""
    match list(arguments):
        case ["net", "show", *options]:
            return nets(simulation, detailed="4" in options)
        case ["stats", "show"]:
            return statistics(simulation)
        case ["global", "show"]:
            return document("global", GLOBAL)
        case ["peer", "show", *_]:
            return peers(simulation)
        case ["export", *_]:
            return nets(simulation, detailed=True) + document("global", GLOBAL)
    raise Exit(1, "lnetctl: unknown command")


def document(title: str, values: dict[str, int]) -> str:
    """Return a flat map."""
    return f"{title}:\n" + "".join(f"    {name}: {value}\n" for name, value in values.items())


def messages(simulation: Simulation) -> int:
    """Return how many messages have been sent."""
    return int(simulation.age_s("lnet") * MESSAGES_A_SECOND)


def nets(simulation: Simulation, *, detailed: bool) -> str:
    """Return each net with its interfaces; the loopback net first."""
    lines = ["net:\n"]
    for nid in ("0@lo", *simulation.node["nids"]):
        sent = 0 if nid == "0@lo" else messages(simulation)
        lines.append(f"    - net type: {nid.partition('@')[2]}\n")
        lines.append(f"      local NI(s):\n        - nid: {nid}\n          status: up\n")
        if nid != "0@lo":
            lines.append("          interfaces:\n              0: eth0\n")
        lines.append("          statistics:\n")
        for word, count in (("send", sent), ("recv", sent - sent // 50), ("drop", sent // 5000)):
            lines.append(f"              {word}_count: {count}\n")
        if detailed:
            lines += details(sent)
    return "".join(lines)


def details(sent: int) -> list[str]:
    """Return what ``-v 4`` adds to an interface."""
    lines = []
    for word, count in (("sent", sent), ("received", sent - sent // 50), ("dropped", sent // 5000)):
        lines.append(f"          {word}_stats:\n")
        lines += [f"              {one}: {count // len(OPERATIONS)}\n" for one in OPERATIONS]
    lines.append("          health stats:\n")
    lines.append("              fatal_error: 0\n              health value: 1000\n")
    lines += [
        f"              {one}: 0\n"
        for one in ("interrupts", "dropped", "aborted", "no route", "timeouts", "error")
    ]
    lines.append(
        "          tunables:\n              peer_timeout: 180\n              peer_credits: 8\n"
        "              peer_buffer_credits: 0\n              credits: 256\n"
        '          dev cpt: -1\n          CPT: "[0]"\n'
    )
    return lines


def statistics(simulation: Simulation) -> str:
    """Return the totals."""
    sent = messages(simulation)
    return document(
        "statistics",
        {
            "msgs_alloc": 4,
            "msgs_max": 60,
            "rst_alloc": 2,
            "errors": 0,
            "send_count": sent,
            "resend_count": sent // 9000,
            "response_timeout_count": 0,
            "local_interrupt_count": 0,
            "local_dropped_count": 0,
            "local_timeout_count": 0,
            "remote_dropped_count": 0,
            "remote_timeout_count": 0,
            "network_timeout_count": 0,
            "recv_count": sent - sent // 50,
            "route_count": 0,
            "drop_count": sent // 5000,
            "send_length": sent * 4096,
            "recv_length": sent * 3072,
            "route_length": 0,
            "drop_length": sent // 5000 * 128,
        },
    )


def peers(simulation: Simulation) -> str:
    """Return the clients of all targets as peers."""
    nids = sorted({nid for _, target in simulation.targets() for nid in target["clients"]})
    if not nids:
        return ""
    lines = ["peer:\n"]
    for nid in nids:
        lines.append(f"    - primary nid: {nid}\n      Multi-Rail: True\n      peer ni:\n")
        lines.append(f"        - nid: {nid}\n          state: up\n          refcount: 2\n")
    return "".join(lines)
