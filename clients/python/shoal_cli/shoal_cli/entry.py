"""Where the process of the `shoal` command begins and ends."""

import signal


def run() -> int:
    """Runs the command and returns its exit status.

    While Python loads and unloads modules, Ctrl-C ends the process without a word; in between,
    the command says what became of its work.
    """
    _end_on_interrupt()
    try:
        from shoal_cli.main import main

        return main()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        _end_on_interrupt()


def _end_on_interrupt() -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, signal.SIG_DFL)
