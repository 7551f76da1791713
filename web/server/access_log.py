"""The access log: a record for each request that has been answered."""

import logging
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from turnkeeper.actors.model.logger import escaped, one_entry
from turnkeeper.web.http.parameters import LOG_ID, TASK_ID

NAME: Final = "turnkeeper.access"


class AccessLog(AbstractAccessLogger):
    """Who asked for what, and what it was answered with. Queries are left out: tickets are in them."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log a request. ``time`` is how many seconds it took; a stream takes as long as it is open."""
        said = {"remote": request.remote or "-", "method": request.method, "path": request.rel_url.raw_path}
        what = *said.values(), response.status, time * 1000.0
        fields: dict[str, object] = {**said, "http_status": response.status, "ms": round(time * 1000.0, 3)}
        match_info = getattr(request, "match_info", {})  # what is not HTTP has none
        for field, part in (("session", LOG_ID), ("turn", TASK_ID)):
            if part.name in match_info:
                fields[field] = escaped(match_info[part.name])
        self.logger.info("%s %s %s %d %.1f ms", *what, extra=fields)


def access_logger() -> logging.Logger:
    """Where the requests are logged, whatever is the level of the other records."""
    access = logging.getLogger(NAME)
    access.setLevel(logging.INFO)
    access.addFilter(one_entry)
    return access
