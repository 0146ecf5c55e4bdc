"""The class Case. Each file tests/cli/cases_*.py has a list CASES of them."""
import dataclasses
import typing


@dataclasses.dataclass
class Case:
    """One command line and the expected results.

    It runs in its own empty folder. In `args` and phrases, {golden} means tests/golden and {tmp}
    that folder.
    For status 1 or 2 there must always be one line on stderr and nothing on stdout.
    """

    name: str
    args: typing.List[str]  # the first is the program: btm or btm-convert
    status: int = 0
    stdout: typing.Sequence[str] = ()  # phrases that must appear
    stderr: typing.Sequence[str] = ()
    never: typing.Sequence[str] = ()  # phrases that must not appear on stdout
    setup: typing.Optional[typing.Callable] = None  # called with the folder (a pathlib.Path) first
    check: typing.Optional[
        typing.Callable
    ] = None  # called with the folder after; raises AssertionError
    check_stdout: typing.Optional[typing.Callable] = None  # the same, called with what was printed
    stdout_to: typing.Optional[
        str
    ] = None  # a file in place of the captured pipe: /dev/full, say; "closed": none at all
    interrupt_at: typing.Optional[str] = None  # SIGINT is sent when this phrase appears on stderr
    needs: typing.Sequence[str] = ()  # other programs that this one runs
    unprivileged: bool = False  # without root's right to read what is not readable
    lines_on_stderr: typing.Optional[
        int
    ] = None  # where an error comes with warnings: how many lines
    prints_before_error: bool = False  # stdout may hold results when the error comes
    limits: typing.Sequence[
        typing.Tuple[int, int]
    ] = ()  # (resource.RLIMIT_..., in its unit), as the shell's ulimit sets them
    timeout: float = 60
