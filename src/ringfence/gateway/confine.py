"""Give up what the broker does not need, once everything is loaded and before the first route.

Invariants:
1. Started as root, the process ends up under a uid that owns nothing, without groups, for good.
2. No core dump, no ptrace, no new privileges: its memory holds live credentials.
3. What cannot be given up stops the process.
"""

import ctypes
import os
import resource

from ringfence.chain.errors import InternalError

# From linux/prctl.h.
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def confine(uid: int) -> None:
    """Drop to ``uid`` if root, and close the process to others. Raises InternalError, OSError."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if 0 in os.getresuid() or 0 in os.getresgid():
        raise InternalError("broker-privileged", "the broker could not give up root")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Eight steps with all their connections would otherwise use up the usual 1024 descriptors.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    os.umask(0o077)
