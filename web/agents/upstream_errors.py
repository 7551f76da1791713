"""What can go wrong with a model's API, in our words: clients get these texts and no others."""

import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import ClassVar

from turnkeeper.actors.model.exceptions import TurnkeeperError

#: The longest Retry-After that is passed on, in seconds.
MAX_RETRY_AFTER = 24 * 3600.0


class UpstreamError(TurnkeeperError):
    """The upstream failed. The text is in our words, never in the upstream's."""

    code = "UPSTREAM_ERROR"
    expected = True
    says: ClassVar[str] = "the model reported an error"

    def __init__(self, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(self.says if status is None else f"{self.says} (HTTP {status})")
        #: The HTTP status of its answer, if it answered.
        self.status = status
        #: After how many seconds to ask again, if the upstream says so.
        self.retry_after = retry_after


class UpstreamUnauthorized(UpstreamError):
    """401 or 403: the key is missing, wrong, or not allowed to use the model."""

    code = "UPSTREAM_UNAUTHORIZED"
    says = "the model's API did not accept the key"


class UpstreamNotFound(UpstreamError):
    """404: there is no such model, or no such API at the base URL."""

    code = "UPSTREAM_NOT_FOUND"
    says = "there is no such model, or no API at the base URL"


class UpstreamRateLimited(UpstreamError):
    """429: too many requests, or the quota is used up."""

    code = "UPSTREAM_RATE_LIMITED"
    says = "the model's API accepts no more requests for now"


class UpstreamRefused(UpstreamError):
    """Another 4xx: it did not accept the request, such as a conversation that is too long."""

    code = "UPSTREAM_REFUSED"
    says = "the model's API did not accept the request"


class UpstreamUnavailable(UpstreamError):
    """No connection, or a 5xx."""

    code = "UPSTREAM_UNAVAILABLE"
    says = "the model's API is not available"


class UpstreamTimeout(UpstreamError):
    """It was silent for too long."""

    code = "UPSTREAM_TIMEOUT"
    says = "the model was silent for too long"


class UpstreamBrokeOff(UpstreamError):
    """The connection, or the answer, ended before the reply did."""

    code = "UPSTREAM_BROKE_OFF"
    says = "the connection to the model broke off"


class UpstreamRubbish(UpstreamError):
    """Its answer does not follow the protocol."""

    code = "UPSTREAM_RUBBISH"
    says = "the answer of the model's API could not be understood"


class UpstreamTooLong(UpstreamError):
    """The answer has more bytes than are read."""

    code = "UPSTREAM_TOO_LONG"
    says = "the model's answer was too long"


def of_status(status: int, headers: Mapping[str, str]) -> UpstreamError:
    """The error for an answer that is not 200."""
    again = retry_after(headers)
    match status:
        case 401 | 403:
            return UpstreamUnauthorized(status=status)
        case 404:
            return UpstreamNotFound(status=status)
        case 408 | 504:
            return UpstreamTimeout(status=status, retry_after=again)
        case 429:
            return UpstreamRateLimited(status=status, retry_after=again)
        case _ if status >= 500:
            return UpstreamUnavailable(status=status, retry_after=again)
        case _ if status >= 400:
            return UpstreamRefused(status=status)
        case _:
            return UpstreamRubbish(status=status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After, RFC 9110 section 10.2.3; ``None`` for neither of its forms."""
    text = headers.get("retry-after", "").strip()
    wait: float | None = None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        wait = float(text)
    else:
        with suppress(ValueError, TypeError, OverflowError):
            wait = parsedate_to_datetime(text).timestamp() - time.time()
    return None if wait is None else round(min(max(wait, 0.0), MAX_RETRY_AFTER), 3)
