"""The routes: one table."""

from dataclasses import dataclass

from turnkeeper.actors.model.ids import RESERVED_IDS

from . import handlers
from .mount import Handler, Who


@dataclass(frozen=True, slots=True)
class Route:
    """One route."""

    method: str
    path: str
    handler: Handler
    who: Who = Who.USERS

    @property
    def has_head(self) -> bool:
        """Whether HEAD is answered too, as GET is but for the body. A stream has no end to be measured."""
        return self.method == "GET" and self.handler is not handlers.events


ROUTES = (
    Route("GET", "/chat/active_send_tasks", handlers.all_active),
    Route("POST", "/chat/cleanup_completed_tasks", handlers.cleanup),
    Route("POST", "/chat/ticket", handlers.ticket),
    Route("POST", "/chat/{log_id}/send", handlers.send),
    Route("POST", "/chat/{log_id}/cancel_send_task", handlers.cancel_session),
    Route("POST", "/chat/{log_id}/{task_id}/cancel", handlers.cancel),
    Route("GET", "/chat/{log_id}/active_tasks", handlers.active),
    Route("GET", "/chat/{log_id}/events", handlers.events, Who.TICKETS),
    Route("GET", "/chat/{log_id}/messages", handlers.messages),
    Route("GET", "/chat/{log_id}/turns/{task_id}", handlers.turn),
    Route("GET", "/chat/{log_id}", handlers.session),
    Route("DELETE", "/chat/{log_id}", handlers.close),
    Route("GET", "/healthz", handlers.health, Who.ANYONE),
    Route("GET", "/readyz", handlers.ready, Who.ANYONE),
)


def methods() -> dict[str, str]:
    """What each path may be asked, as in ``Allow``, so that the other methods are refused.

    A path that is a reserved word has no entry: it is that word as an id that is refused.
    """
    found: dict[str, list[str]] = {}
    for route in ROUTES:
        if "{" in route.path or route.path.rsplit("/", 1)[-1] not in RESERVED_IDS:
            found.setdefault(route.path, []).extend([route.method, *["HEAD"] * route.has_head])
    return {path: ", ".join(names) for path, names in found.items()}
