"""The web page: the operators' API as pages, rendered here and readable without scripts.

How a page is added:

1. A room of its own, ``web/<topic>.py``: ``async def show(visit: Visit) -> Response`` reads through
   ``visit.service`` (and ``api.translate``, so that page and API say the same), and ends with
   ``return visit.page("<topic>.html", ...)``. It has ``PAGES``, rows of ``pages.Page``: path below
   ``/ui``, permission, the function, and ``nav`` where the page stands in the bar on top.
2. Its line in ``web/rooms.py``, in the bar's order.
3. ``templates/<topic>.html``, which extends ``base.html`` and takes marks, times and forms from
   ``parts.html``. What is not there when a template asks for it is a fault (``StrictUndefined``).
4. A write is a form with ``{{ parts.csrf(csrf) }}``, posted to a row with ``methods=("POST",)``;
   its function hands it to ``visit.call("POST", "/jobs", {...})``, the API in this process, so that
   guard, mandates, limits and audit are the same code. Then ``visit.go("/ui/…")``.
5. What changes by itself stands in an element with an ``id`` and ``data-live="job. node."``, the
   openings of event kinds: ``static/live.js`` gets the page again when such events came, and puts
   the new element in the place of the old. Own scripts are modules in ``static/``, named in the
   template's block ``scripts``; nothing is inline, neither script nor style: the policy forbids it.
6. Tests: ``tests/manager/web`` over a manager in memory (each page is walked there by itself for
   headers, permissions and hostile text), ``tests/together/browser`` with a real browser.
"""
