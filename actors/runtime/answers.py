"""The three ways in which a handler answers a reply address."""

import logging
from typing import Any

logger = logging.getLogger("pykka")


def answer(to: Any, reply: Any) -> None:
    """Answer the asker, if there is one."""
    if to is not None:
        to.set(reply)


def answer_foreign(to: Any, reply: Any) -> None:
    """Answer at an address that is not one of ours: what its ``set`` raises is logged and goes no further."""
    try:
        to.set(reply)
    except Exception:
        logger.warning("a reply address did not take its answer", exc_info=True)


def refuse(to: Any, error: BaseException) -> None:
    """Answer with an error, if there is an asker that has not been answered."""
    if to is not None and not to.done():
        to.set_exception((type(error), error, None))
