"""What an agent can do wrong when it is stopped: a code, where the turn was stopped, and what was seen."""

from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.word import Word, word


class FaultCode(Word):
    """The faults that `cancel_at_every_await` finds. The codes stay as they are."""

    AGENT_FAILED = word("agent_failed", "the run that nothing cancelled raised an exception")
    NOT_DETERMINISTIC = word(
        "not_deterministic", "two runs took different courses before anything had cancelled them"
    )
    SWALLOWED_CANCEL = word(
        "swallowed_cancel", "the agent was cancelled, and returned instead of raising CancelledError"
    )
    RAISED_INSTEAD = word(
        "raised_instead", "the agent was cancelled, and raised something other than CancelledError"
    )
    NEEDED_SECOND_CANCEL = word(
        "needed_second_cancel",
        "half of `cancel_grace` after the cancel the agent still ran, and was cancelled again",
    )
    UNRESPONSIVE = word("unresponsive", "the agent ran on through the whole `cancel_grace` and was given up")
    EMITTED_AFTER_END = word("emitted_after_end", "the turn had ended, and something called its `emit`")
    LEFT_TASK = word("left_task", "a task that the turn started still ran when the turn had ended")
    LEFT_THREAD = word("left_thread", "a thread still worked when the turn had ended")
    LEFT_PROCESS = word(
        "left_process", "a process, a child or a child's child, still ran when the turn had ended"
    )
    LEFT_SOCKET = word("left_socket", "a socket was still open when the turn had ended")
    LEFT_FILE = word(
        "left_file",
        "a file or pipe was still open when the turn had ended, or lay in the temporary directory",
    )
    OPEN_CALL = word(
        "open_call", "a call of a tool that was begun with `turn.tool_call` went on when the turn had ended"
    )
    HALF_WRITTEN = word(
        "half_written",
        "the conversation was not left as it was, nor with a complete exchange, nor as the check wants it",
    )
    HOOK_FAILED = word(
        "hook_failed", "a hook for the turn's end, its own or the host's, failed, or outlasted `wind_grace`"
    )
    BLOCKED_LOOP = word("blocked_loop", "the agent blocked the event loop")
    DISHONEST_VERDICT = word(
        "dishonest_verdict", "the answer to the cancel was not what had happened: report this as a bug"
    )


@value
class Fault:
    """One fault, in one run. ``detail`` is the same in every run that has this fault in the same way."""

    code: FaultCode
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
