"""Starts a program as systemd starts a service with sockets: `activate.py web=7 web=9 -- program argument`.

The descriptors become 3, 4, …, and three variables say whose they are, how many, and how they are called. The process id
is that of the program, so this must become it.
"""

import fcntl
import os
import sys


def main() -> None:
    end = sys.argv.index("--")
    passed = [word.rpartition("=") for word in sys.argv[1:end]]
    # Out of the way first: one could be where another has to go.
    aside = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for _, _, number in passed]
    for place, descriptor in enumerate(aside, start=3):
        os.dup2(descriptor, place, inheritable=True)
        os.close(descriptor)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(passed))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _, _ in passed)
    os.execv(sys.argv[end + 1], sys.argv[end + 1 :])


main()
