# SPDX-License-Identifier: Apache-2.0
"""How many of the host's system calls a process's seccomp filters leave it.

The filters are read with PTRACE_SECCOMP_GET_FILTER and tried for every number: what they do with the
number and the architecture is computed, and where they look at arguments both ways are followed. A call
counts as left when some arguments get it through every filter.
Basis: seccomp(2), ptrace(2), Documentation/networking/filter.rst.
"""

import ctypes
import os
import struct

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
PTRACE_SECCOMP_GET_FILTER = 0x420C
ALLOWED = {0x7FFF0000, 0x7FFC0000}  # ALLOW and LOG
# USER_NOTIF and TRACE ask another process, which may let the call through.
ASKED = {0x7FC00000, 0x7FF00000}
ARCHITECTURES = {"x86_64": (0xC000003E, 463), "aarch64": (0xC00000B7, 463)}
WALL = 0x40000000


def decode(program):
    """[(code, jt, jf, k)] of struct sock_filter."""
    return [struct.unpack_from("HBBI", program, offset) for offset in range(0, len(program), 8)]


def lets_through(filter_, number, architecture):
    """Whether the filter returns ALLOW for the call with some arguments."""
    return bool(_returns(filter_, number, architecture) & (ALLOWED | ASKED))


def _returns(filter_, number, architecture):
    """The actions that the filter can return. A value that depends on arguments is None."""
    actions, seen = set(), set()
    stack = [(0, 0, 0, ())]  # place, A, X, memory as pairs
    while stack:
        state = stack.pop()
        if state in seen:
            continue
        seen.add(state)
        place, a, x, memory = state
        code, jump_true, jump_false, k = filter_[place]
        kind = code & 7
        after = place + 1
        if kind == 6:  # BPF_RET
            value = a if code & 0x18 == 0x10 else k
            actions.add(value & 0xFFFF0000 if value is not None else next(iter(ALLOWED)))
        elif kind == 0:  # BPF_LD
            mode = code & 0xE0
            if mode == 0x20:  # BPF_ABS
                a = {0: number, 4: architecture}.get(k)
            elif mode == 0x60:
                a = dict(memory).get(k)
            else:
                a = k
            stack.append((after, a, x, memory))
        elif kind == 1:  # BPF_LDX
            x = dict(memory).get(k) if code & 0xE0 == 0x60 else k
            stack.append((after, a, x, memory))
        elif kind in (2, 3):  # BPF_ST, BPF_STX
            held = dict(memory)
            held[k] = a if kind == 2 else x
            stack.append((after, a, x, tuple(sorted(held.items(), key=lambda item: item[0]))))
        elif kind == 4:  # BPF_ALU
            operand = x if code & 8 else k
            stack.append((after, _alu(code & 0xF0, a, operand), x, memory))
        elif kind == 5:  # BPF_JMP
            if code & 0xF0 == 0:
                stack.append((after + k, a, x, memory))
                continue
            operand = x if code & 8 else k
            if a is None or operand is None:
                outcomes = (True, False)
            else:
                outcomes = ({0x10: a == operand, 0x20: a > operand, 0x30: a >= operand,
                             0x40: bool(a & operand)}[code & 0xF0],)
            for outcome in outcomes:
                stack.append((after + (jump_true if outcome else jump_false), a, x, memory))
        else:  # BPF_MISC: TAX, TXA
            stack.append((after, x if code & 0x80 else a, x if code & 0x80 else a, memory))
    return actions


def _alu(operation, a, operand):
    if a is None or (operand is None and operation != 0x80):
        return None
    value = {0x00: lambda: a + operand, 0x10: lambda: a - operand, 0x20: lambda: a * operand,
             0x30: lambda: a // operand if operand else 0, 0x40: lambda: a | operand,
             0x50: lambda: a & operand, 0x60: lambda: a << operand, 0x70: lambda: a >> operand,
             0x80: lambda: -a, 0xA0: lambda: a ^ operand}[operation]()
    return value & 0xFFFFFFFF


def count(filters, machine=None):
    """How many system calls get through all of the decoded filters; None for an unknown processor."""
    known = ARCHITECTURES.get(machine or os.uname().machine)
    if known is None:
        return None
    architecture, numbers = known
    return sum(all(lets_through(filter_, number, architecture) for filter_ in filters)
               for number in range(numbers))


def filters_of(pid):
    """The decoded filters of a process's first thread; OSError when it cannot be looked at."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long

    def ptrace(request, address=0, data=0):
        result = libc.ptrace(request, pid, address, data)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"ptrace: {os.strerror(ctypes.get_errno())}")
        return result
    ptrace(PTRACE_SEIZE)
    try:
        ptrace(PTRACE_INTERRUPT)
        os.waitpid(pid, WALL)
        found = []
        while True:
            try:
                length = ptrace(PTRACE_SECCOMP_GET_FILTER, len(found))
            except OSError as error:
                if error.errno == 2:  # ENOENT: no more of them
                    return found
                if error.errno == 22 and not found:  # EINVAL: no filter
                    return found
                raise
            buffer = ctypes.create_string_buffer(length * 8)
            ptrace(PTRACE_SECCOMP_GET_FILTER, len(found), ctypes.addressof(buffer))
            found.append(decode(buffer.raw))
    finally:
        libc.ptrace(PTRACE_DETACH, pid, 0, 0)
