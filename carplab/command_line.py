"""What the commands have in common: a wrong command line, or trouble, is one sentence."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from carplab.errors import CarplabError, UsageError


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command line as one sentence, without the usage in front."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see '{self.prog} --help')")


def run_command(
    parser: argparse.ArgumentParser,
    execute: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse and execute one command line. Returns the exit code: 0, 1 for trouble, 2 for usage."""
    try:
        code = execute(parser.parse_args(argv))
        sys.stdout.flush()
        return code
    except CarplabError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # the reader of a pipe, as in `carplab decode FILE | head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
