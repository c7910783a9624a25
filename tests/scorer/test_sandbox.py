"""An untrusted program can compute in the sandbox, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import struct
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from scorer.sandbox import _zygote, levels, sandbox
from scorer.sandbox.sandbox import Limits, Outcome
from tests.conftest import missing

ROOT = Path(__file__).parents[2]
SET_BY_LIBRARIES = (
    "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK",
    "JE_ARROW_MALLOC_CONF",
    "ARROW_DEFAULT_MEMORY_POOL",
    "JOBLIB_MULTIPROCESSING",
)


@pytest.fixture(scope="module", autouse=True)
def locked_in() -> None:
    if not sandbox.isolation().is_enough:
        missing("A sandbox of level standard", levels.too_weak(sandbox.isolation()))


FORBIDDING = """
import ctypes, errno, os, signal, struct
from scorer.sandbox import _zygote, sandbox

def forbid(number):
    steps = [(_zygote.LOAD, 0, 0, 0), (_zygote.EQUAL, 0, 1, number),
             (_zygote.RETURN, 0, 0, _zygote.ERRNO | errno.EPERM), (_zygote.RETURN, 0, 0, _zygote.ALLOW)]
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(program, len(program))
    _zygote.prctl(_zygote.PR_SET_NO_NEW_PRIVS, 1)
    header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    _zygote.prctl(_zygote.PR_SET_SECCOMP, _zygote.SECCOMP_MODE_FILTER, header)

unshare = _zygote.numbers("unshare 272/97", os.uname().machine)[0]
for number in (unshare, _zygote.LANDLOCK_CREATE):
    sandbox._running.clear()
    sandbox.isolation.cache_clear()
    forbid(number)
    print(sandbox.isolation().level, *sandbox.isolation().layers)
try:
    sandbox.run(b"def main(): return 1", "main")
except sandbox.SandboxTooWeak as refusal:
    print(refusal)
print(sandbox._running["reader"].process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def forbidden() -> list[str]:
    """Output of a process without new namespaces, then without Landlock.

    As in Docker. It ends by SIGKILL; its last line is the pid of the zygote it had then.
    """
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", FORBIDDING]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.splitlines()


def run(body: str, *arguments: object, frames: tuple[pd.DataFrame, ...] = (), seconds: float = 20) -> Outcome:
    """Run `body` as main with `args`; several modules are imported."""
    imports = "import ctypes, os, signal, socket, subprocess, sys, threading, time\n"
    program = imports + "def main(*args):\n" + textwrap.indent(textwrap.dedent(body), "    ")
    limits = Limits(wall_seconds=seconds, memory_mb=256)
    return sandbox.run(program.encode(), "main", frames, arguments, limits=limits)


# --- what works -------------------------------------------------------------------------------------


def test_numpy_pandas_sklearn_and_threads_work() -> None:
    body = """
    import numpy as np, pandas as pd, scipy.special, sklearn.metrics
    import sklearn.linear_model  # not loaded beforehand, so files are read in here
    from concurrent.futures import ThreadPoolExecutor
    frame = args[0].groupby("name", as_index=False)["x"].sum().sort_values("name")
    with ThreadPoolExecutor(4) as pool:
        squares = list(pool.map(lambda x: x * x, range(8)))
    product = np.ones((300, 300)) @ np.ones((300, 300))
    area = sklearn.metrics.roc_auc_score([0, 1, 1], [0.1, 0.4, 0.3])
    return [frame["x"].tolist(), sum(squares), product[0, 0], area, frame["name"].str.upper().tolist()]
    """
    frame = pd.DataFrame({"name": ["b", "a", "b"], "x": [1.0, 2.0, 3.0]})
    assert run(body, frames=(frame,)).value == [[2.0, 4.0], 140, 300.0, 1.0, ["A", "B"]]


def test_a_frame_arrives_as_it_was_sent_and_can_be_written_to() -> None:
    frame = pd.DataFrame(
        {
            "id": ["01", "a,b", "ü", None],
            "whole": [1, -(2**53) - 1, 3, 4],
            "number": [0.1, float("nan"), 1e-300, -0.0],
            "flag": [True, False, True, False],
        }
    )
    body = """
    frame = args[0]
    before = [str(kind) for kind in frame.dtypes], frame["id"].tolist(), frame["whole"].tolist()
    numbers = [repr(x) for x in frame["number"].tolist()]
    frame.iloc[0, 2] = 7.0
    frame["number"].to_numpy(copy=True)[:] = 0
    frame["whole"] += 1
    return [*before, numbers, frame.iloc[0, 2]]
    """
    kinds, ids, wholes, numbers, written = run(body, frames=(frame,)).value
    assert kinds == [str(kind) for kind in frame.dtypes]
    assert ids[:3] == ["01", "a,b", "ü"]
    assert wholes == frame["whole"].tolist()
    assert numbers == ["0.1", "nan", "1e-300", "-0.0"]
    assert written == 7.0


def test_a_column_of_mixed_kinds_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="cannot be given to the sandbox"):
        run("return 1", frames=(pd.DataFrame({"x": [1, "one"]}),))


def test_random_numbers_are_the_same_in_every_run() -> None:
    body = """
    import random
    import numpy as np
    return [random.random(), np.random.rand()]
    """
    assert run(body).value == run(body).value


def test_what_is_printed_is_the_log() -> None:
    outcome = run("print('to out'); print('to err', file=sys.stderr); os.write(1, b'raw\\xff'); return 1")
    assert outcome.value == 1
    assert outcome.log == "to out\nto err\nraw\ufffd"


def test_the_log_holds_nothing_that_a_terminal_obeys() -> None:
    assert run("print('\\x1b]0;owned\\x07a\\x1b[2J'); print('b'); return 1").log == "]0;owneda[2J\nb\n"


def test_a_traceback_in_the_log_shows_the_line() -> None:
    outcome = run("raise KeyError('gone')  # here")
    assert (outcome.raised, outcome.message) == ("KeyError", "'gone'")
    assert 'File "program.py", line 3, in main' in outcome.log
    assert "raise KeyError('gone')  # here" in outcome.log


# --- what does not --------------------------------------------------------------------------------


def test_every_attack_is_stopped() -> None:
    given = sandbox.isolation()
    assert set(given.details.values()) == {"stopped"}
    assert {"rlimits", "landlock", "seccomp"} <= set(given.layers)
    assert given.landlock_abi >= 1


BARE = """
import json, pathlib, socket, subprocess, sys, tempfile
from scorer.sandbox import _attacks
with (tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as tcp,
      socket.socket(socket.AF_UNIX) as unix, subprocess.Popen(["sleep", "60"]) as other):
    secret = pathlib.Path(folder, "secret")
    secret.write_text("label")
    unix.bind(folder + "/socket")
    unix.listen()
    found = _attacks.attempt(str(secret), folder, other.pid, tcp.getsockname()[1], folder + "/socket")
    print(json.dumps(found))
    other.kill()
"""


def test_every_attack_that_needs_no_privilege_succeeds_without_the_sandbox() -> None:
    """Else "stopped" would mean that the attack is badly made."""
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    stopped = {name for name, is_open in json.loads(done.stdout).items() if not is_open}
    # A kernel's build, a container or a user's rights may stop these before any sandbox of ours does.
    assert stopped <= {
        "trace another process",
        "read another process's memory",
        "set up io_uring",
        "take memory that no limit counts",
        "mount a file system",
        "enter a new namespace",
    }


def test_nothing_of_ours_is_in_the_environment_or_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELDOUT_SECRET", "CANARY")
    environment, arguments, folder = run("return [dict(os.environ), sys.argv, os.getcwd()]").value
    # What the numeric libraries set for themselves, and the interpreter for its locale.
    assert not {name for name in environment if not name.endswith("_THREADS")} - {
        "LC_CTYPE",
        *SET_BY_LIBRARIES,
    }
    assert arguments == ["program.py"]
    assert folder == "/"


def test_only_its_own_descriptors_are_open() -> None:
    body = """
    def is_open(fd):
        try:
            os.fstat(fd)
        except OSError:
            return False
        return True
    return [fd for fd in range(64) if is_open(fd)]
    """
    secret = os.open(__file__, os.O_RDONLY)
    try:
        # nothing to read, the log twice, and the pipe of the answer
        assert len(run(body).value) == 4
    finally:
        os.close(secret)


@pytest.mark.parametrize(
    "attack",
    [
        "open(args[0]).read()",
        "os.listdir(os.path.dirname(args[0]))",
        "open('/proc/self/environ').read()",
        "os.readlink(f'/proc/{args[1]}/cwd')",
        "open(args[0], 'a')",
        "os.unlink(args[0])",
        "os.rename(args[0], args[0] + '2')",
        "os.truncate(args[0], 0)",
        "os.chmod(args[0], 0o777)",
        "os.utime(args[0])",
        "os.setxattr(args[0], 'user.x', b'1')",
        "os.mkdir('/tmp/made')",
        "open('/dev/shm/made', 'w')",
        "os.memfd_create('x')",
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair()",
        "os.fork()",
        "subprocess.run(['/bin/true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "os.kill(args[1], 0)",
        "os.kill(os.getppid(), signal.SIGKILL)",
        "os.kill(-1, 0)",
        "os.setsid()",
        "os.sched_setaffinity(os.getppid(), {0})",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "__import__('resource').prlimit(os.getppid(), 7)",
        "__import__('resource').setrlimit(9, (-1, -1))",
        "__import__('fcntl').fcntl(1, 8, os.getppid())",
    ],
)
def test_an_attack_is_refused(attack: str, tmp_path: Path) -> None:
    secret = tmp_path / "solution.csv"
    secret.write_text("CANARY")
    outcome = run(f"{attack}\nreturn 'done'", str(secret), os.getpid())
    # posix_spawn and setrlimit have words of their own for a refusal.
    assert outcome.raised in ("PermissionError", "ValueError"), outcome
    assert "CANARY" not in outcome.log
    assert secret.read_text() == "CANARY"


SYSTEM_CALL = (
    "libc = ctypes.CDLL(None, use_errno=True); "
    "libc.syscall(args[0], 0, 0, 0, 0, 0); return ctypes.get_errno()"
)


@pytest.mark.parametrize(
    ("name", "number"),
    [("ptrace", 101), ("bpf", 321), ("unshare", 272), ("keyctl", 250), ("process_vm_readv", 310)],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
def test_a_raw_system_call_is_refused(name: str, number: int) -> None:
    assert run(SYSTEM_CALL, number).value == errno.EPERM


@pytest.mark.parametrize("number", [425, 434, 435, 447, 452, 1000, 0x40000000 + 39])
def test_a_newer_system_call_is_as_if_it_were_not_there(number: int) -> None:
    assert run(SYSTEM_CALL, number).value == errno.ENOSYS


# --- how a run ends -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        ("while True: pass", "took longer than 0.5 seconds"),
        ("time.sleep(60)", "took longer than 0.5 seconds"),
        ("os.kill(os.getpid(), signal.SIGSTOP)", "took longer than 0.5 seconds"),
        ("os._exit(0)", "ended itself without an answer (exit code 0)"),
        ("os._exit(3)", "ended itself without an answer (exit code 3)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed (signal 9, Killed)"),
        ("ctypes.string_at(0)", "was killed (signal 11, Segmentation fault)"),
        ("os.kill(os.getpid(), 40)", "was killed (signal 40, Real-time signal 6)"),
        ("return 'x' * 100_000", "gave out more than 64 KiB"),
        ("while True: print('x' * 1000)", "gave out more than 64 KiB"),
    ],
)
def test_the_end_of_a_program_is_described(body: str, ending: str) -> None:
    began = time.monotonic()
    outcome = run(body, seconds=0.5 if "0.5" in ending else 20)
    assert outcome.stopped == ending
    assert outcome.value is None
    assert len(outcome.log) <= sandbox.MAX_OUTPUT_BYTES
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "answer",
    [b"[1, 2]", b"{", b"null", b"\xff", b"9" * 5000, b"[" * 60_000, b'{"layers": 1}', b'{"unfit": "forged"}'],
)
def test_an_answer_that_the_program_forges_is_only_data(answer: bytes) -> None:
    body = f"""
    import stat
    pipes = [fd for fd in range(3, 64) if stat.S_ISFIFO(mode(fd))]
    os.write(pipes[0], {answer!r})
    os._exit(0)
    """
    program = "import os\ndef mode(fd):\n    try: return os.fstat(fd).st_mode\n    except OSError: return 0\n"
    program += "def main():\n" + textwrap.indent(textwrap.dedent(body), "    ")
    assert sandbox.run(program.encode(), "main").stopped == "answered in a form of its own"


def test_memory_beyond_the_limit_is_refused() -> None:
    outcome = run("import numpy as np\nreturn float(np.ones(1 << 26).sum())")
    assert outcome.raised == "MemoryError"
    assert run("import numpy as np\nreturn float(np.ones(1 << 23).sum())").value == 2**23


def test_many_threads_cannot_take_more_memory_than_the_limit() -> None:
    body = """
    for _ in range(10_000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    """
    outcome = run(body)
    assert outcome.raised in ("RuntimeError", "MemoryError") or outcome.stopped == sandbox.TOO_MANY_THREADS


BOMBS = (Path(__file__).with_name("bombs.py")).read_text(encoding="utf-8")


def test_a_metric_that_starts_threads_without_end_is_stopped() -> None:
    """Threads of 16 KB stay far below the limit of memory. Root has no limit of tasks: the zygote counts."""
    program = BOMBS + "\ndef main(): threads(None)"
    outcome = sandbox.run(program.encode(), "main", limits=Limits(wall_seconds=20))
    no_more = outcome.stopped == "ended itself without an answer (exit code 7)"
    assert outcome.stopped == sandbox.TOO_MANY_THREADS or no_more
    assert ("no more threads" in outcome.log) == no_more


def test_a_metric_may_have_some_threads() -> None:
    body = """
    threading.stack_size(65536)
    for _ in range(40):
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
    time.sleep(0.5)
    return threading.active_count()
    """
    assert run(body).value == 41


@pytest.mark.parametrize("bomb", ["os.fork()", "os.forkpty()", "os.posix_spawn('/bin/true', ['true'], {})"])
def test_a_metric_that_forks_without_end_starts_no_process(bomb: str) -> None:
    assert run(f"while True: {bomb}").raised == "PermissionError"


@pytest.mark.parametrize(
    ("bomb", "words"),
    [("threads", "(had more than 64 threads|exit code 7)"), ("forks", "Operation not permitted")],
)
def test_a_reader_that_multiplies_is_ended_with_the_reason(
    bomb: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sandbox._IMPORTS, "reader", ("tests.scorer.bombs",))  # type: ignore[call-overload]
    layers = sandbox.isolation().layers
    sandbox.stop("reader")
    try:
        session = sandbox.Session(
            "reader", f"tests.scorer.bombs:{bomb}", [], limits=Limits(wall_seconds=60), layers=layers
        )
        with closing(session), pytest.raises(sandbox.Ended, match=words):
            session.read(1)
    finally:
        sandbox.stop("reader")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("user", "is_bound"), [(0, False), (65534, True)])
def test_the_limit_of_tasks_binds_every_user_but_root(user: int, is_bound: bool) -> None:
    """The reason for counting threads from outside as well."""
    body = f"""
import os, resource, sys, threading, time
from scorer.sandbox import _zygote
os.setresgid({user}, {user}, {user}); os.setresuid({user}, {user}, {user})
if _zygote.libc.unshare(_zygote.CLONE_NEWUSER) != 0: sys.exit("no namespaces")
_zygote.put_on_rlimits(60, 1 << 30, 0, counts_tasks=True)
threading.stack_size(65536)
try:
    for _ in range(200): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
except RuntimeError: os._exit(1)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", body], cwd=ROOT, capture_output=True, text=True)
    if "no namespaces" in done.stderr:
        missing("A user namespace", done.stderr)
    assert done.returncode == int(is_bound), done.stderr


@pytest.mark.parametrize("body", ["sys.exit(0)", "raise KeyboardInterrupt", "raise BaseException"])
def test_no_exception_is_taken_for_an_answer(body: str) -> None:
    outcome = run(body)
    assert outcome.value is None
    assert outcome.raised is not None


def test_an_exception_whose_text_cannot_be_made_has_none() -> None:
    body = """
    class Odd(Exception):
        def __str__(self):
            raise ValueError
    raise Odd
    """
    assert (run(body).raised, run(body).message) == ("Odd", "")


def test_a_run_leaves_nothing_to_the_next() -> None:
    assert (
        run("import builtins, pandas; pandas.secret = builtins.secret = 1; pandas.DataFrame = None").raised
        is None
    )
    assert (
        run("import builtins, pandas; return hasattr(builtins, 'secret') or pandas.DataFrame is None").value
        is False
    )


# --- the process behind ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["metric", "reader"])
def test_the_zygote_computes_nothing_on_threads_of_its_own(kind: sandbox.Kind) -> None:
    """A lock that another thread holds at the fork stays locked in the child."""
    sandbox.start(kind)
    threads = Path(f"/proc/{sandbox._running[kind].process.pid}/task").iterdir()
    assert len(list(threads)) == 1


def test_the_zygote_ends_with_the_process_that_started_it(forbidden: list[str]) -> None:
    assert _ends(int(forbidden[-1]))


def _ends(pid: int) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/stat")
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_a_fork_of_the_starter_shares_its_zygote() -> None:
    sandbox.start("metric")
    zygote = sandbox._running["metric"].process.pid
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            value = sandbox.run(b"import os\ndef main(): return os.getppid()", "main").value
            status = 0 if value in (zygote, 0) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run("return 1").value == 1


def test_a_killed_zygote_is_replaced() -> None:
    process = sandbox._running["metric"].process
    process.kill()
    process.wait()
    assert run("return 1").value == 1
    assert sandbox._running["metric"].process.pid != process.pid


# --- the filter, for machines that are not this one -----------------------------------------------


def verdict(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """Return what a classic BPF program decides of a system call.

    It knows the few instructions that the filter has.
    """
    words = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, arch, 0, *(word & (2**64 - 1) for word in words))
    accumulator = at = 0
    while True:
        code, on_true, on_false, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == _zygote.RETURN:
            return int(value)
        if code == _zygote.LOAD:
            accumulator = struct.unpack_from("<I", data, value)[0]
            continue
        is_true = {
            _zygote.EQUAL: accumulator == value,
            _zygote.AT_LEAST: accumulator >= value,
            _zygote.ANY_BIT: bool(accumulator & value),
        }[code]
        at += on_true if is_true else on_false


PID = 4321
ALLOWED = _zygote.ALLOW
REFUSED = _zygote.ERRNO | errno.EPERM
UNKNOWN = _zygote.ERRNO | errno.ENOSYS
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_filter_decides_as_its_table_says(machine: str) -> None:
    program = _zygote.seccomp_program(machine, PID)
    arch = _zygote.AUDIT_ARCH[machine]

    def says(text: str, *arguments: int) -> int:
        return verdict(program, arch, _zygote.numbers(text, machine)[0], *arguments)

    for text in _zygote.DENIED.values():
        for number in _zygote.numbers(text, machine):
            assert verdict(program, arch, number) == REFUSED
    assert (
        says("read 0/63")
        == says("mmap 9/222")
        == says("openat 257/56")
        == says("exit_group 231/94")
        == ALLOWED
    )
    assert says(_zygote.CLONE, 0x3D0F00) == ALLOWED
    assert says(_zygote.CLONE, signal.SIGCHLD) == REFUSED
    assert says("kill 62/129", PID, 9) == says("tgkill 234/131", PID, PID, 6) == ALLOWED
    assert (
        says("kill 62/129", PID + 1, 9)
        == says("kill 62/129", -PID, 9)
        == says("kill 62/129", 0, 9)
        == REFUSED
    )
    assert says(_zygote.MYSELF_ONLY, 0, 7) == ALLOWED
    assert says(_zygote.MYSELF_ONLY, PID, 7) == REFUSED
    assert says(_zygote.FCNTL, 1, 3) == ALLOWED
    assert {says(_zygote.FCNTL, 1, command) for command in (8, 10, 15)} == {REFUSED}
    assert verdict(program, arch, _zygote.NEWER_ALLOWED["faccessat2"]) == ALLOWED
    assert (
        verdict(program, arch, 435) == verdict(program, arch, 425) == verdict(program, arch, 9999) == UNKNOWN
    )
    assert verdict(program, 0x40000003, 1) == _zygote.KILL_PROCESS


def test_the_table_has_the_kernels_own_numbers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"the kernel's headers are not on this machine: {header.name}")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", header.read_text())
    kernel = {name: int(number) for name, number in found}
    texts = [
        *_zygote.DENIED.values(),
        _zygote.CLONE,
        _zygote.FCNTL,
        _zygote.MYSELF_ONLY,
        _zygote.OWN_PROCESS_ONLY,
    ]
    ours = {}
    for text in texts:
        words = text.split()
        for name, pair in zip(words[::2], words[1::2], strict=True):
            number = pair.split("/")[("x86_64", "aarch64").index(machine)]
            ours[name] = None if number == "-" else int(number)
    assert ours == {name: kernel.get(name) for name in ours}
    assert {
        name: kernel.get(name, number) for name, number in _zygote.NEWER_ALLOWED.items()
    } == _zygote.NEWER_ALLOWED


# --- levels ---------------------------------------------------------------------------------------


def test_the_level_follows_from_what_was_stopped() -> None:
    full = sandbox.isolation().details
    files_open = full | dict.fromkeys(["read a file", "read /etc/passwd"], "open")
    layers = ["rlimits", "landlock", "seccomp"]
    assert levels.level_of(full, ["namespaces", *layers]) == "strong"
    assert levels.level_of(full, layers) == "standard"
    assert levels.level_of(full, ["namespaces", "rlimits", "seccomp"]) == "basic"
    assert levels.level_of(files_open, layers) == "basic"
    assert levels.level_of(full | {"fork": "open"}, layers) == "none"
    assert levels.level_of(full, ["namespaces", "rlimits", "landlock"]) == "none"
    assert levels.level_of({}, layers) == "none"


def test_a_container_that_forbids_layers_has_a_lower_level(forbidden: list[str]) -> None:
    standard, basic, refusal, _ = forbidden
    assert standard == "standard rlimits landlock seccomp"
    assert basic == "basic rlimits seccomp"
    assert "this machine gives basic" in refusal
    assert "Landlock version 0, ways left open: read a file, list a folder, read /etc/passwd" in refusal


def test_below_standard_nothing_runs_without_allow_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = levels.Isolation("basic", "Linux 5.4", 0, ("rlimits", "seccomp"), {"read a file": "open"})
    monkeypatch.setattr(sandbox, "isolation", lambda: weak)
    with pytest.raises(sandbox.SandboxTooWeak, match=r"gives basic .*ways left open: read a file"):
        sandbox.run(b"def main(): return 1", "main")
    assert sandbox.run(b"def main(): return 1", "main", allow_weak=True).value == 1


def test_a_run_without_its_layers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = sandbox.isolation()
    more = levels.Isolation(
        "strong", given.kernel, given.landlock_abi, (*given.layers, "moat"), given.details
    )
    monkeypatch.setattr(sandbox, "isolation", lambda: more)
    with pytest.raises(sandbox.SandboxFailed, match="without moat"):
        run("return 1")
