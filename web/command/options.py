"""The options of ``turnkeeper serve --agent openai``."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def openai_options(command: F) -> F:
    """Give a command these options. The key is read from OPENAI_API_KEY."""
    for name, kind, metavar, text in reversed(
        (
            (
                "--base-url",
                str,
                "URL",
                "With --agent openai: the API to ask, such as http://127.0.0.1:8080/v1.",
            ),
            ("--model", str, "MODEL", "With --agent openai: the model's name there."),
            ("--system", str, "TEXT", "With --agent openai: the system prompt."),
            ("--temperature", float, "NUMBER", "With --agent openai: how freely it speaks."),
            (
                "--model-timeout",
                float,
                "SECONDS",
                "With --agent openai: how long it may be silent (60).",
            ),
        )
    ):
        command = click.option(name, type=kind, metavar=metavar, help=text)(command)
    return command
