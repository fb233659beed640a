"""Becomes a child process that dies with its parent: run as a script, never imported.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL UID GID CAPABILITY PROGRAM [ARGUMENT]...

A script rather than `preexec_fn`, because Python code between fork and exec can deadlock in a process with
threads. The death signal is set after the change of account, which clears it, and survives the exec. UID -1
keeps the account; CAPABILITY -1 asks for none, otherwise the program keeps that one capability although it
runs without root.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


class CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapabilitySets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def change_account(uid: int, gid: int, capability: int) -> None:
    try:
        if capability >= 0:
            # Not PR_SET_KEEPCAPS: without this bit access(2), which initdb asks, forgets capabilities of
            # other users than root.
            checked(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        if capability >= 0:
            keep_only(capability)
    except OSError as error:
        sys.exit(
            f"cannot run as the account {uid}: {error}. Postgres refuses root, and this root lacks the "
            "capabilities to let another account reach the files: put checkout and data where every account "
            "may enter, or run as an ordinary user"
        )


def keep_only(capability: int) -> None:
    """Hand one capability on to the program: ambient ones survive the exec of an ordinary binary."""
    bit = 1 << capability
    sets = (CapabilitySets * 2)()
    sets[0] = CapabilitySets(bit, bit, bit)
    checked(libc.capset(ctypes.byref(CapabilityHeader(LINUX_CAPABILITY_VERSION_3, 0)), sets))
    checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def main() -> None:
    parent_pid, death_signal, uid, gid, capability = (int(text) for text in sys.argv[1:6])
    program = sys.argv[6:]
    if uid >= 0:
        change_account(uid, gid, capability)
    checked(libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0))
    if os.getppid() != parent_pid:
        sys.exit("the parent ended while this child was starting")
    os.execv(program[0], program)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"cannot start {sys.argv[6:7]}: {error}")
