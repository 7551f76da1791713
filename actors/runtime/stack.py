"""How much room is left on the stack."""

import sys
from typing import Final

#: How many frames may lie below what is done at once, on the stack of the code that asks for it.
DEEP: Final = 200


def is_deep() -> bool:
    """Whether what is done here may meet a RecursionError, which leaves half of it undone.

    It is dear on a stack that is not deep: as much as a dozen calls.
    """
    try:
        sys._getframe(DEEP)
    except ValueError:
        return False
    return True
