"""Import once, compute nothing, and fork a child for each run.

`scorer.sandbox.sandbox` starts this file by its path, with an empty environment and one inherited descriptor,
so neither this process nor a fork of it ever holds a password, a connection or another run's data. It imports
nothing of this project by itself: its starter names the modules that a fork needs. A child locks itself in
before it reads a line of untrusted code or a byte of an untrusted file:

    namespaces   no network device, no shared System V memory; where the machine lets users have them
    rlimits      processor time, memory, threads, open files; no file may grow, no core is dumped
    landlock     opening files: the interpreter's own libraries for reading, nothing else; for a baseline
                 also the challenge's public/ and baselines/
    seccomp      system calls: no socket, process, program, signal to others, renamed files or changed rights

The control socket carries requests only; answers go over a socket of their own, so that all forks of the
process that started this one may use it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib.util
import io
import json
import os
import platform
import random
import resource
import selectors
import signal
import socket
import stat
import struct
import sys
import sysconfig
import time
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

MAX_FDS = 16
MAX_THREADS = 64
"""Of one run. A run can start no process, so this is the number of its tasks."""
WATCH_SECONDS = 0.05
TOO_MANY_THREADS = b"threads"
OWN_MAPS = Path("/proc/self/maps")
MAX_TEXT = 2000
MAX_TRACEBACK = 10_000
SETUP_FAILED = 70

libc = ctypes.CDLL(None, use_errno=True)


def call(function: Callable[..., int], *arguments: object) -> int:
    """Return a C function's result; raises the OSError of errno."""
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


# --- seccomp --------------------------------------------------------------------------------------

# What is refused with EPERM, as name x86_64/aarch64; "-" where that machine never had the call.
DENIED = {
    "talking to other processes and machines": """
        socket 41/198 connect 42/203 accept 43/202 sendto 44/206 recvfrom 45/207 sendmsg 46/211 recvmsg 47/212
        bind 49/200 listen 50/201 socketpair 53/199 accept4 288/242 recvmmsg 299/243 sendmmsg 307/269
        shmget 29/194 shmat 30/196 semget 64/190 msgget 68/186 mq_open 240/180 mq_unlink 241/181""",
    "starting processes and programs (clone for threads stays, see below)": """
        fork 57/- vfork 58/- execve 59/221 execveat 322/281 uselib 134/-""",
    "looking into or steering other processes of the same user": """
        ptrace 101/117 process_vm_readv 310/270 process_vm_writev 311/271 kcmp 312/272 perf_event_open 298/241
        tkill 200/130 get_robust_list 274/100 setpriority 141/140 ioprio_set 251/30 sched_setparam 142/118
        sched_setscheduler 144/119 sched_setaffinity 203/122 sched_setattr 314/274 migrate_pages 256/238
        move_pages 279/239""",
    "leaving its group, its limits or its user; prctl would let it outlive its parent": """
        setpgid 109/154 setsid 112/157 prctl 157/167 seccomp 317/277 personality 135/92 unshare 272/97
        setns 308/268 capset 126/91 setuid 105/146 setgid 106/144 setreuid 113/145 setregid 114/143
        setgroups 116/159 setresuid 117/147 setresgid 119/149 setfsuid 122/151 setfsgid 123/152""",
    "files by ways that Landlock does not guard: rights, owners, times, attributes, handles, watching": """
        chmod 90/- fchmod 91/52 fchmodat 268/53 chown 92/- fchown 93/55 lchown 94/- fchownat 260/54
        utime 132/- utimes 235/- futimesat 261/- utimensat 280/88 setxattr 188/5 lsetxattr 189/6
        fsetxattr 190/7 removexattr 197/14 lremovexattr 198/15 fremovexattr 199/16 truncate 76/45
        name_to_handle_at 303/264 open_by_handle_at 304/265 fanotify_init 300/262 fanotify_mark 301/263
        inotify_init 253/- inotify_init1 294/26 inotify_add_watch 254/27 quotactl 179/60""",
    "making and removing names, which Landlock also refuses": """
        rename 82/- renameat 264/38 renameat2 316/276 mkdir 83/- mkdirat 258/34 rmdir 84/- creat 85/-
        link 86/- linkat 265/37 unlink 87/- unlinkat 263/35 symlink 88/- symlinkat 266/36 mknod 133/-
        mknodat 259/33""",
    "memory that no limit counts, and calls known for holes in the kernel": """
        memfd_create 319/279 vmsplice 278/75 userfaultfd 323/282 io_setup 206/0 io_submit 209/2 bpf 321/280
        add_key 248/217 request_key 249/218 keyctl 250/219 modify_ldt 154/- remap_file_pages 216/234""",
    "the machine itself": """
        mount 165/40 umount2 166/39 pivot_root 155/41 chroot 161/51 swapon 167/224 swapoff 168/225
        reboot 169/142 kexec_load 246/104 kexec_file_load 320/294 init_module 175/105 finit_module 313/273
        delete_module 176/106 acct 163/89 settimeofday 164/170 clock_settime 227/112 clock_adjtime 305/266
        adjtimex 159/171 syslog 103/116 sethostname 170/161 setdomainname 171/162 vhangup 153/58 iopl 172/-
        ioperm 173/- sync 162/81 syncfs 306/267""",
}
# Allowed when the first argument is this process (a program may end itself), or for prlimit64 "myself".
OWN_PROCESS_ONLY = "kill 62/129 tgkill 234/131 rt_sigqueueinfo 129/138 rt_tgsigqueueinfo 297/240"
MYSELF_ONLY = "prlimit64 302/261"
CLONE, FCNTL = "clone 56/220", "fcntl 72/25"
# From FIRST_NEW on everything is ENOSYS, as on an older kernel: clone3, io_uring, pidfd_open, open_tree,
# memfd_secret, fchmodat2 and whatever a later kernel brings; except these harmless ones.
NEWER_ALLOWED = {
    "close_range": 436,
    "openat2": 437,
    "faccessat2": 439,
    "epoll_pwait2": 441,
    "futex_waitv": 449,
}
FIRST_NEW = {"x86_64": 335, "aarch64": 295}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

CLONE_THREAD = 0x00010000
F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, ARCH_AT, FIRST_ARGUMENT_AT, SECOND_ARGUMENT_AT = 0, 4, 16, 24


def numbers(text: str, machine: str) -> list[int]:
    """Return the call numbers of a table's text for one machine."""
    column = ("x86_64", "aarch64").index(machine)
    entries = (word.split("/")[column] for word in text.split()[1::2])
    return [int(entry) for entry in entries if entry != "-"]


def seccomp_program(machine: str, pid: int) -> bytes:
    """Return the filter in classic BPF for the process `pid`.

    Every test reads low words, little-endian.
    """

    def step(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, on_true, on_false, value)

    allow, refuse = step(RETURN, ALLOW), step(RETURN, ERRNO | errno.EPERM)

    def only_if(number: int, argument_at: int, *tests: bytes) -> bytes:
        """Return a test of an argument.

        The last test jumps over `allow` when it fails; earlier ones jump to `refuse`.
        """
        body = step(LOAD, argument_at) + b"".join(tests) + allow + refuse
        return step(EQUAL, number, 0, len(body) // 8) + body

    program = step(LOAD, ARCH_AT) + step(EQUAL, AUDIT_ARCH[machine], 1, 0) + step(RETURN, KILL_PROCESS)
    program += step(LOAD, NUMBER_AT)
    for text in DENIED.values():
        for number in numbers(text, machine):
            program += step(EQUAL, number, 0, 1) + refuse
    for number in numbers(CLONE, machine):
        program += only_if(number, FIRST_ARGUMENT_AT, step(ANY_BIT, CLONE_THREAD, 0, 1))
    for number in numbers(OWN_PROCESS_ONLY, machine):
        program += only_if(number, FIRST_ARGUMENT_AT, step(EQUAL, pid, 0, 1))
    for number in numbers(MYSELF_ONLY, machine):
        program += only_if(number, FIRST_ARGUMENT_AT, step(EQUAL, 0, 0, 1))
    for number in numbers(FCNTL, machine):
        # A pipe that another process owns would send that process signals.
        owner_changes = (step(EQUAL, F_SETOWN, 3), step(EQUAL, F_SETSIG, 2), step(EQUAL, F_SETOWN_EX, 1))
        program += only_if(number, SECOND_ARGUMENT_AT, *owner_changes)
    for number in NEWER_ALLOWED.values():
        program += step(EQUAL, number, 0, 1) + allow
    return program + step(AT_LEAST, FIRST_NEW[machine], 0, 1) + step(RETURN, ERRNO | errno.ENOSYS) + allow


def put_on_seccomp() -> None:
    program = seccomp_program(platform.machine(), os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header)


# --- Landlock -------------------------------------------------------------------------------------

# The same numbers on every machine.
LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3


def landlock_abi() -> int:
    """Return the version of Landlock that this kernel offers.

    0 where it has none or the container forbids it.
    """
    abi: int = libc.syscall(LANDLOCK_CREATE, None, 0, 1)
    return max(0, abi)


def landlock_ruleset(abi: int, readable: Sequence[Path]) -> int:
    """Return a ruleset's descriptor: only these folders and files can be read.

    Everything else that this ABI can handle is refused.
    """
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    tcp = 0b11 if abi >= 4 else 0
    scopes = 0b11 if abi >= 6 else 0  # abstract unix sockets and signals, beyond this process
    attributes = struct.pack("=QQQ", files, tcp, scopes)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = call(libc.syscall, LANDLOCK_CREATE, attributes, len(attributes), 0)
    for path in readable:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = READ_FILE | READ_DIR if stat.S_ISDIR(os.fstat(fd).st_mode) else READ_FILE
        rule = struct.pack("=Qi", rights, fd)
        call(libc.syscall, LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
        os.close(fd)
    return ruleset


def library_folders(packages: Sequence[str]) -> list[Path]:
    """Return the folders of Python, its packages and shared libraries."""
    standard = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sys.base_prefix + "/lib"]
    system = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"]
    folders = (Path(name) for name in dict.fromkeys([*standard, *packages, *system]))
    return [folder for folder in folders if folder.is_dir()]


# --- the other layers -----------------------------------------------------------------------------

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
CAPABILITY_VERSION_3 = 0x20080522


def prctl(option: int, first: int, second: bytes | None = None) -> None:
    call(libc.prctl, option, ctypes.c_ulong(first), second, None, None)


def put_on_rlimits(cpu_seconds: int, memory_bytes: int, output_bytes: int, *, counts_tasks: bool) -> None:
    """Limit the run's resources.

    Memory counts on top of what this process has mapped already: its imports cost gigabytes of address space
    and no memory. Tasks are counted for a user in a namespace, so the limit is put on only in a namespace of
    this run's own: elsewhere all processes of the user count. It never binds root, and the zygote counts too.
    """
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    for name, (soft, hard) in {
        # The soft limit sends a signal with its reason, the hard one a plain SIGKILL.
        resource.RLIMIT_CPU: (cpu_seconds, cpu_seconds + 1),
        resource.RLIMIT_AS: (mapped + memory_bytes, mapped + memory_bytes),
        resource.RLIMIT_FSIZE: (output_bytes, output_bytes),
        resource.RLIMIT_NOFILE: (64, 64),
        resource.RLIMIT_CORE: (0, 0),
        **({resource.RLIMIT_NPROC: (MAX_THREADS, MAX_THREADS)} if counts_tasks else {}),
    }.items():
        highest = resource.getrlimit(name)[1]
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(name, (soft, hard))


def lock_in(job: Mapping[str, Any], zygote: int, readable: Sequence[Path]) -> list[str]:
    """Give up this process's powers; return the layers applied, in order."""
    layers = []
    abi = landlock_abi()
    # Before the powers of root are gone, which may be what opens a folder above them.
    ruleset = landlock_ruleset(abi, readable) if abi else None
    with contextlib.suppress(OSError):
        # The kernel's choice when memory runs out should be this process.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) == 0:
        layers.append("namespaces")
    # Even root's child has root's powers no longer, among them that over limits.
    call(libc.capset, struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24))
    # Only now: a change of user or powers makes the kernel forget this wish.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        os._exit(SETUP_FAILED)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    put_on_rlimits(
        job["cpu_seconds"],
        job["memory_bytes"],
        job.get("output_bytes", 0),
        counts_tasks="namespaces" in layers,
    )
    layers.append("rlimits")
    if ruleset is not None:
        call(libc.syscall, LANDLOCK_RESTRICT, ruleset, 0)
        os.close(ruleset)
        layers.append("landlock")
    if platform.machine() in AUDIT_ARCH:
        with contextlib.suppress(OSError):
            put_on_seccomp()
            layers.append("seccomp")
    return layers


# --- a run ----------------------------------------------------------------------------------------


def run(fds: Sequence[int], zygote: int, libraries: Sequence[Path]) -> None:
    """Lock in, run the program and write one line of JSON.

    This is the fork: it never returns to the loop. A line before, which no foreign code can forge, reports
    whether it is locked in; with an entry instead of a program, what follows is the entry's. With a script
    the first descriptor is its output, and the others are the folders it may read.
    """
    job_fd, result_fd, log_fd, *frame_fds = fds
    os.setpgid(0, 0)  # to be killed with all that it starts; of a terminal the whole session has none
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    kept = {0, 1, 2, job_fd, result_fd, *frame_fds}
    for fd in range(max(kept) + 1):
        if fd not in kept:
            with contextlib.suppress(OSError):
                os.close(fd)
    os.closerange(max(kept) + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    with open(job_fd, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        job = json.loads(file.readline())
        source = file.read()
    report: dict[str, Any] = {}
    try:
        readable = list(libraries)
        if "script" in job:
            os.chdir(job["folder"])
            readable += [Path(f"/proc/self/fd/{fd}") for fd in frame_fds[1:]]
            # scikit-learn finds its libraries there to limit their threads. The open file keeps the kernel
            # from making another inode of that name, for which the rule would not hold.
            os.open(OWN_MAPS, os.O_PATH)
            readable.append(OWN_MAPS)
        report["layers"] = lock_in(job, zygote, readable)
    except OSError as error:
        report["unfit"] = str(error)
    missing = set(job["layers"]) - set(report.get("layers", ()))
    if missing:
        report.setdefault("unfit", f"this time without {', '.join(sorted(missing))}")
    entry = job.get("entry")
    with open(result_fd, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        write_all(file, json.dumps(report).encode() + b"\n")
        if "unfit" in report:
            return
        if entry is None:
            write_all(file, json.dumps(outcome(job, source, frame_fds)).encode() + b"\n")
        else:
            module, _, function = entry.partition(":")
            getattr(sys.modules[module], function)(file, *frame_fds)


def write_all(file: io.RawIOBase, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def outcome(job: Mapping[str, Any], source: bytes, frame_fds: Sequence[int]) -> dict[str, Any]:
    """Return the function's value or what it raised; tracebacks are logged."""
    try:
        value = (script_value if "script" in job else program_value)(job, source, frame_fds)
        result = {"value": json.loads(json.dumps(value, default=plain_number))}
    except BaseException as error:  # noqa: BLE001 - foreign code may raise SystemExit or what it likes
        with contextlib.suppress(Exception):
            # Cut, as the text may quote a submission's cell of any length.
            print("".join(traceback.format_exception(error))[-MAX_TRACEBACK:], file=sys.stderr)
        # numpy has a subclass of its own.
        name = "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
        result = {"raised": name, "text": text_of(error)}
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    return result


def program_value(job: Mapping[str, Any], source: bytes, frame_fds: Sequence[int]) -> Any:
    frames = [read_frame(fd) for fd in frame_fds]
    name = job["file"]
    sys.argv[:] = [name]
    module = types.ModuleType(Path(name).stem)
    execute(module, source, name)
    return getattr(module, job["function"])(*frames, *job["positional"], **job["keywords"])


def script_value(job: Mapping[str, Any], source: bytes, fds: Sequence[int]) -> None:
    """Run a script as `python SCRIPT OUTPUT` would."""
    name = job["script"]
    sys.argv[:] = [name, f"/proc/self/fd/{fds[0]}"]
    sys.path.insert(0, str(Path(name).parent))
    module = types.ModuleType("__main__")
    module.__file__ = name
    try:
        execute(module, source, name)
    except SystemExit as left:
        if left.code not in (None, 0):
            raise
    finally:
        module.__dict__.clear()  # closes the files that it left open


def execute(module: types.ModuleType, source: bytes, name: str) -> None:
    import linecache

    import numpy as np

    # A program that draws at random gives the same answer for the same file.
    random.seed(0)
    np.random.seed(0)
    # So that a traceback in the log shows the lines.
    lines = source.decode("utf-8", "replace").splitlines(keepends=True)
    linecache.cache[name] = (len(source), None, lines, name)
    sys.modules[module.__name__] = module
    exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102 - what this process is for


def read_frame(fd: int) -> Any:
    import mmap

    import pyarrow as pa

    memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    table = pa.ipc.open_stream(pa.py_buffer(memory)).read_all()
    # Arrow may hand out its own read-only memory; programs write into their frames.
    return table.to_pandas(use_threads=False).copy()


def plain_number(value: Any) -> float:
    import numpy as np

    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    raise TypeError(f"the result is of type {type(value).__name__}, which is no number")


def text_of(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except Exception:  # noqa: BLE001 - the text is made by foreign code
        return ""


# --- the loop -------------------------------------------------------------------------------------


class Absent:
    """Make imports of these modules fail, as if not installed."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def preload(modules: Sequence[str], shims: Sequence[str], absent: Sequence[str]) -> None:
    # Threads of a library would not survive the fork, but locks that they hold would.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS"):
        os.environ[name] = "1"
    # joblib would ask files of the system for the number of processors, and start processes.
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    # Arrow's other allocators reserve a gigabyte of address space at a time, and fail if they may not.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, Absent(absent))
    for name in modules:
        importlib.import_module(name)
    for file in shims:
        name = Path(file).stem
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    import gc

    # Without this every fork's first full collection walks, and thereby copies, all that was imported.
    gc.collect()
    gc.freeze()


def serve(control: socket.socket, libraries: Sequence[Path]) -> NoReturn:
    """Fork for each request; report its wait status, or kill it.

    A child is killed when its socket is closed, or when it has too many threads. Only this process reaps, so
    a pid that it kills is still the child's.
    """
    me = os.getpid()
    ready = selectors.DefaultSelector()
    ready.register(control, selectors.EVENT_READ)
    reasons: dict[int, bytes] = {}  # of every child that runs
    while True:
        for key, _ in ready.select(WATCH_SECONDS if reasons else None):
            if key.fileobj is control:
                message, fds, _, _ = socket.recv_fds(control, 1, MAX_FDS)
                if not message:
                    # Every process that could send requests has ended; the children die with this one.
                    os._exit(0)
                answer = socket.socket(fileno=fds[0])
                pid = os.fork()
                if pid == 0:
                    status = SETUP_FAILED
                    try:
                        run(fds[1:], me, libraries)
                        status = 0
                    except BaseException:  # noqa: BLE001 - this fork must never come back into the loop
                        traceback.print_exc()
                    finally:
                        os._exit(status)
                for fd in fds[1:]:
                    os.close(fd)
                reasons[pid] = b""
                ended = os.pidfd_open(pid)
                ready.register(answer, selectors.EVENT_READ, (pid, ended, answer))
                ready.register(ended, selectors.EVENT_READ, (pid, ended, answer))
                continue
            pid, ended, answer = key.data
            if key.fileobj is answer and answer.fileno() >= 0:
                ready.unregister(answer)
                kill_all_of(pid)
            elif key.fileobj == ended:
                status = os.waitpid(pid, 0)[1]
                with contextlib.suppress(OSError):
                    answer.send(b"%d %s" % (status, reasons.pop(pid)))
                with contextlib.suppress(KeyError):
                    ready.unregister(answer)
                ready.unregister(ended)
                os.close(ended)
                answer.close()
        for pid, reason in reasons.items():
            if not reason and n_threads(pid) > MAX_THREADS:
                reasons[pid] = TOO_MANY_THREADS
                kill_all_of(pid)


def kill_all_of(pid: int) -> None:
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def n_threads(pid: int) -> int:
    """Return the number of a child's threads, which the kernel shows as links of a folder."""
    return os.stat(f"/proc/{pid}/task").st_nlink - 2  # noqa: PTH116 - twenty times a second for every child


def keep_niceness() -> None:
    """Give this session the niceness of the process.

    Linux weighs sessions against each other by a niceness of their own, and this session is new.
    """
    for _ in range(5 if os.nice(0) else 0):
        try:
            with open("/proc/self/autogroup", "w") as autogroup:  # noqa: PTH123 - pathlib is not imported here
                autogroup.write(str(os.nice(0)))
        except BlockingIOError:  # without privileges ten writes a second are allowed, for the whole machine
            time.sleep(0.11)
            continue
        except OSError:
            pass  # a kernel that does not
        return


def main() -> NoReturn:
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(sys.argv[2])
    keep_niceness()
    sys.path.extend([*settings["packages"], *settings["path"]])
    try:
        preload(settings["modules"], settings["shims"], settings["absent"])
        libraries = library_folders(settings["packages"])
        hello: dict[str, Any] = {"landlock_abi": landlock_abi()}
    except Exception as error:  # noqa: BLE001 - reported to the starter, which can log it
        hello = {"error": f"{type(error).__name__}: {error}"}
    control.send(json.dumps(hello).encode())
    if "error" in hello:
        os._exit(SETUP_FAILED)
    serve(control, libraries)


if __name__ == "__main__":
    main()
