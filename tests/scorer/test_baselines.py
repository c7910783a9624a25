"""A baseline reads public/ and baselines/, writes its one file, and nothing else."""

from __future__ import annotations

import os
import platform
import socket
import sqlite3
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scorer.sandbox import baselines, levels, sandbox
from scorer.sandbox.baselines import Made
from tests.conftest import missing

pytestmark = pytest.mark.xdist_group("baselines")  # one process runs the attacks, once

LABEL = "hidden-label-4711"
SECRET = "secret-key-of-the-installation-0815"
MAX_BYTES = 1_000_000

WORKS = {
    "pandas.py": """
        import pandas as pd
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        train = pd.read_csv("public/train.csv")
        for model in (LogisticRegression(), KNeighborsClassifier(n_neighbors=1)):
            model.fit(train[["x"]], train["y"])
        pd.DataFrame({"id": train["id"], "y": model.predict(train[["x"]])}).to_csv(sys.argv[1], index=False)
        """,
    "beside_itself.py": """
        from helper import rows
        with open(sys.argv[1], "w") as out:
            out.write(rows(Path(__file__).resolve().parent.parent / "public"))
        """,
    "left_open.py": """
        out = open(sys.argv[1], "w")
        out.write("id,y\\n1,0\\n")
        sys.exit(0)
        """,
    "written_twice.py": """
        Path(sys.argv[1]).write_text("a long first version" * 100)
        Path(sys.argv[1]).write_text("id,y\\n1,0\\n")
        """,
    "talkative.py": """
        for i in range(4_000):
            print("epoch", i, "loss", 1 / (i + 1))
        Path(sys.argv[1]).write_text("id,y\\n1,0\\n")
        """,
    "threads.py": """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(abs, range(100)))
        Path(sys.argv[1]).write_text("id,y\\n1,0\\n")
        """,
    "many_jobs.py": """
        import pandas as pd
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import cross_val_score
        train = pd.read_csv("public/train.csv")
        model = RandomForestClassifier(10, n_jobs=-1).fit(train[["x"]], train["y"])
        scores = cross_val_score(model, train[["x"]], train["y"], n_jobs=2)
        Path(sys.argv[1]).write_text(repr(scores))
        """,
    "surroundings.py": """
        found = {**os.environ, "arguments": repr(sys.orig_argv), "folder": os.getcwd()}
        Path(sys.argv[1]).write_text(repr(found))
        """,
}

# script -> its text, and words of its error; {publisher} is the process that publishes.
ATTACKS = {
    "reads_the_solution": ('steal("private/solution.csv")', "PermissionError"),
    "reads_it_through_its_folder": ('steal(Path(__file__).parent / "../private/solution.csv")', "Permission"),
    "reads_it_through_a_link": ('steal("public/link.csv")', "PermissionError"),
    "reads_it_with_pandas": ('import pandas; pandas.read_csv("private/solution.csv")', "PermissionError"),
    "lists_the_challenge": ('give(os.listdir("."))', "PermissionError"),
    "reads_the_secret_key": ('steal("{data}/secret_key")', "PermissionError"),
    "opens_the_database": ('query("{data}/heldout.db")', "unable to open database file"),
    "opens_it_read_only": ('query("file:{data}/heldout.db?mode=ro&immutable=1")', "unable to open"),
    "finds_uploads": ('give(os.listdir("{data}/blobs"))', "PermissionError"),
    "reads_an_upload": ('steal("{data}/blobs/upload")', "PermissionError"),
    "reads_accounts": ('steal("/etc/passwd")', "PermissionError"),
    "reads_the_publishers_environment": ('steal("/proc/{publisher}/environ")', "PermissionError"),
    "reads_its_parents_environment": ('steal(f"/proc/{{os.getppid()}}/environ")', "PermissionError"),
    "reads_the_publishers_memory": ('steal("/proc/{publisher}/mem")', "PermissionError"),
    "reads_the_publishers_files": ('give(os.listdir("/proc/{publisher}/fd"))', "PermissionError"),
    "goes_through_the_publishers_root": ('steal("/proc/{publisher}/root{data}/secret_key")', "Permission"),
    "goes_through_its_own_root": ('steal("/proc/self/root{data}/secret_key")', "PermissionError"),
    "goes_through_its_descriptors": ('steal(f"/proc/self/fd/4/../private/solution.csv")', "Error"),
    "traces_the_publisher": ("libc(101, 16, {publisher}, 0, 0)", "Operation not permitted"),
    "becomes_root": ("libc(105, 0)", "Operation not permitted"),
    "takes_root_in_a_namespace": ("libc(272, 0x10000000)", "Operation not permitted"),
    "leaves_by_chroot": ('os.chroot("/")', "PermissionError"),
    "kills_the_publisher": ("os.kill({publisher}, 9)", "PermissionError"),
    "kills_its_group": ("os.kill(0, 9)", "PermissionError"),
    "kills_everything": ("os.kill(-1, 9)", "PermissionError"),
    "writes_into_public": ('Path("public/train.csv").write_text("forged")', "PermissionError"),
    "writes_a_new_file": ('Path("public/new.csv").write_text("x")', "PermissionError"),
    "writes_itself": ('Path(__file__).write_text("x")', "PermissionError"),
    "writes_into_the_temporary_folder": ('Path("/tmp/written-by-a-baseline").write_text("x")', "Permission"),
    "writes_into_shared_memory": ('Path("/dev/shm/written-by-a-baseline").write_text("x")', "Permission"),
    "makes_a_folder": ('os.mkdir("public/folder")', "PermissionError"),
    "deletes_the_solution": ('os.remove("private/solution.csv")', "PermissionError"),
    "moves_the_solution": ('os.rename("private", "public/private")', "PermissionError"),
    "links_the_solution": ('os.symlink("../private/solution.csv", "public/s.csv")', "PermissionError"),
    "links_it_hard": ('os.link("private/solution.csv", "public/s.csv")', "PermissionError"),
    "opens_the_solution_to_all": ('os.chmod("private/solution.csv", 0o666)', "PermissionError"),
    "empties_the_solution": ('os.truncate("private/solution.csv", 0)', "PermissionError"),
    "makes_its_output_a_fifo": ("os.remove(OUT); os.mkfifo(OUT)", "PermissionError"),
    "makes_its_output_a_link": ('os.remove(OUT); os.symlink("{data}/secret_key", OUT)', "PermissionError"),
    "makes_its_output_huge": ('open(OUT, "wb").write(bytes({too_much}))', "more than the 1 MB"),
    "makes_its_output_a_huge_hole": ('open(OUT, "wb").truncate(1 << 40)', "File too large"),
    "reserves_a_huge_output": ('f = open(OUT, "wb"); os.posix_fallocate(f.fileno(), 0, 1 << 40)', "File too"),
    "writes_behind_a_huge_hole": ('os.pwrite(os.open(OUT, os.O_WRONLY), b"x", 1 << 40)', "File too large"),
    "forks": ("os.fork()", "PermissionError"),
    "bombs_with_forks": ("while True: os.fork()", "PermissionError"),
    "forks_past_python": ("libc(57)", "Operation not permitted"),
    "clones_past_python": ("libc(56, 17, 0, 0, 0, 0)", "Operation not permitted"),
    "clones_by_the_newer_call": ("libc(435, ctypes.create_string_buffer(88), 88)", "not implemented"),
    "becomes_a_daemon": ("os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0)", "Permission"),
    "leaves_its_session": ("os.setsid()", "PermissionError"),
    "starts_a_shell": ('import subprocess; subprocess.run(["/bin/sh", "-c", "id"])', "PermissionError"),
    "starts_a_program_by_system": ('if os.system("id") != 0: raise OSError("no program")', "no program"),
    "replaces_itself": ('os.execv("/bin/sh", ["sh"])', "PermissionError"),
    "outlives_its_publisher": ("libc(157, 1, 0)", "Operation not permitted"),
    "starts_a_process_of_python": ("multiprocessing.Process(target=print).start()", "PermissionError"),
    "connects_by_tcp": ('socket.create_connection(("127.0.0.1", {port}))', "PermissionError"),
    "fetches_an_address": ('urllib.request.urlopen("http://127.0.0.1:{port}")', "URLError"),
    "connects_to_the_queue": ('socket.socket(socket.AF_UNIX).connect("{queue}")', "PermissionError"),
    "passes_memory_on": ("shared_memory.SharedMemory(create=True, size=9)", "PermissionError"),
    "takes_all_memory": ("x = bytearray(1 << 40)", "MemoryError"),
    "bombs_with_threads": (
        "for _ in range(3000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        ("had more than 64 threads", "can't start new thread"),
    ),
    "ends_without_a_word": ("os._exit(0)", "ended itself without an answer"),
    "forges_its_result": (
        'for fd in range(3, 64):\n    try: os.write(fd, b"no json")\n    except OSError: pass\nos._exit(0)',
        "answered in a form of its own",
    ),
    "writes_nothing": ("pass", "it wrote nothing into the file"),
    "is_no_python": ("this is no python", "SyntaxError"),
    "leaves_with_words": ('sys.exit("no model today")', "no model today"),
    "leaves_with_a_code": ("sys.exit(3)", "3"),
}
if platform.machine() != "x86_64":  # its calls have other numbers
    ATTACKS = {name: attack for name, attack in ATTACKS.items() if "libc(" not in attack[0]}

HEAD = """
import ctypes, multiprocessing, os, socket, sqlite3, sys, threading, time, urllib.request
from multiprocessing import shared_memory
from pathlib import Path
OUT = sys.argv[1]
def query(path): give(sqlite3.connect(path, uri=True).execute("select * from hashes").fetchall())
def give(found): Path(OUT).write_text(repr(found))
def steal(path): Path(OUT).write_bytes(Path(path).read_bytes())
def libc(*arguments):
    c = ctypes.CDLL(None, use_errno=True)
    if c.syscall(*arguments) < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Made]]:
    """What every script made in one run, beside a data folder with all that must stay hidden."""
    if not sandbox.isolation().is_enough:
        missing("A sandbox of level standard", levels.too_weak(sandbox.isolation()))
    data = tmp_path_factory.mktemp("data")
    (data / "secret_key").write_text(SECRET)
    (data / "blobs").mkdir()
    (data / "blobs/upload").write_text(SECRET)
    with sqlite3.connect(data / "heldout.db") as database:
        database.execute("create table hashes (hash text)")
        database.execute("insert into hashes values (?)", (SECRET,))
    database.close()
    folder = tmp_path_factory.mktemp("challenge")
    for part in ("public", "private", "baselines"):
        (folder / part).mkdir()
    (folder / "public/train.csv").write_text("id,x,y\n" + "".join(f"{i},{i},{i % 2}\n" for i in range(20)))
    (folder / "public/link.csv").symlink_to("../private/solution.csv")  # made after the folder was loaded
    (folder / "private/solution.csv").write_text(LABEL)
    (folder / "baselines/helper.py").write_text("def rows(folder): return (folder / 'train.csv').read_text()")
    (folder / "pandas.py").write_text("raise SystemExit('the folder of the challenge is on the path')")
    short = tmp_path_factory.mktemp("q")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as queue:
        queue.bind(str(short / "queue"))
        queue.listen()
        names = {
            "data": data,
            "publisher": os.getpid(),
            "port": tcp.getsockname()[1],
            "queue": short / "queue",
            "too_much": MAX_BYTES + 1,
        }
        scripts = {name: textwrap.dedent(body) for name, body in WORKS.items()}
        scripts |= {f"{name}.py": body.format(**names) for name, (body, _) in ATTACKS.items()}
        for name, body in scripts.items():
            (folder / "baselines" / name).write_text(HEAD + body)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HELDOUT_SECRET_KEY", SECRET)
            before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            yield {
                each.script: each
                for each in baselines.run(folder, list(scripts), max_bytes=MAX_BYTES, memory_mb=1024)
            }
            after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before, "a baseline changed the challenge"
    assert not Path("/tmp/written-by-a-baseline").exists()
    assert not Path("/dev/shm/written-by-a-baseline").exists()


@pytest.mark.parametrize("script", WORKS)
def test_an_ordinary_baseline_works(script: str, made: dict[str, Made]) -> None:
    assert made[script].error is None
    assert made[script].content


def test_what_was_written_last_is_the_file(made: dict[str, Made]) -> None:
    for script in ("left_open.py", "written_twice.py", "talkative.py"):
        assert made[script].content == b"id,y\n1,0\n"


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_ends_in_a_refusal_that_names_it(attack: str, made: dict[str, Made]) -> None:
    result = made[f"{attack}.py"]
    words = ATTACKS[attack][1]
    assert any(each in str(result.error) for each in ([words] if isinstance(words, str) else words))
    assert result.content == b""


def test_a_refused_access_names_the_line_and_what_is_allowed(made: dict[str, Made]) -> None:
    assert made["reads_the_solution.py"].error == (
        "PermissionError: [Errno 13] Permission denied: 'private/solution.csv' (line 8); "
        "a baseline may read public/ and baselines/ and write the file it is given, nothing else"
    )


def test_no_baseline_learns_a_label_or_a_secret(made: dict[str, Made]) -> None:
    everything = repr(made)
    assert LABEL not in everything
    assert SECRET not in everything


def test_no_process_of_a_baseline_is_left(made: dict[str, Made]) -> None:
    assert made
    assert "baseline" not in sandbox._running
    assert not [thread.name for thread in threading.enumerate() if "ThreadPool" in thread.name]


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A challenge's folder, and a sandbox without the libraries whose import takes seconds."""
    monkeypatch.setitem(sandbox._IMPORTS, "baseline", ("numpy",))  # type: ignore[call-overload]
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines/quick.py").write_text("import sys; open(sys.argv[1], 'w').write('x')")
    (tmp_path / "baselines/sleeps.py").write_text("import time; time.sleep(500)")
    (tmp_path / "baselines/computes.py").write_text("while True: pass")
    return tmp_path


def test_a_closed_run_ends_its_scripts(quick: Path) -> None:
    """Ctrl-C while a script of ten minutes runs must not wait for it."""
    running = baselines.run(quick, ["sleeps.py", "quick.py"], max_bytes=10, memory_mb=100)
    assert next(running).script == "quick.py"
    running.close()  # type: ignore[attr-defined]
    assert "baseline" not in sandbox._running


def test_a_script_that_never_ends_is_ended(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "LIMIT_SECONDS", 2.0)
    scripts = ["sleeps.py", "computes.py"]
    made = list(baselines.run(quick, scripts, max_bytes=10, memory_mb=100))
    assert [each.error for each in made] == ["it took longer than 2 seconds"] * 2


def test_the_last_words_of_a_baseline_hold_nothing_that_a_terminal_obeys(quick: Path) -> None:
    words = r"\x1b]0;owned\x07\x1b[2J published:\tok\r\u202e\nyes"
    (quick / "baselines/exits.py").write_text(f'import sys; sys.exit("{words}")')
    (quick / "baselines/raises.py").write_text(f'raise type("E\\x1b[2J", (Exception,), {{}})("{words}")')
    made = baselines.run(quick, ["exits.py", "raises.py"], max_bytes=10, memory_mb=100)
    errors = {each.script: str(each.error) for each in made}
    assert all(c.isprintable() or c == "\n" for error in errors.values() for c in error)
    assert errors["exits.py"].startswith("]0;owned[2J published:")
    assert errors["raises.py"].startswith("E[2J: ]0;owned[2J published:")


def test_a_baseline_cannot_say_that_the_sandbox_failed(quick: Path) -> None:
    forge = """
import os, stat
for fd in range(3, 64):
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode): os.write(fd, b'{"unfit": "forged"}\\n')
    except OSError: pass
os._exit(0)
"""
    (quick / "baselines/forges.py").write_text(forge)
    (made,) = baselines.run(quick, ["forges.py"], max_bytes=10, memory_mb=100)
    assert made.error == "it answered in a form of its own"


@pytest.mark.parametrize("name", ["public", "baselines"])
@pytest.mark.parametrize("to", ["elsewhere", "missing"])
def test_a_folder_that_is_a_link_is_refused_in_words(quick: Path, name: str, to: str) -> None:
    (quick / "public").mkdir()
    (quick / name).rename(quick / "elsewhere")
    (quick / name).symlink_to(to)
    (made,) = baselines.run(quick, ["quick.py"], max_bytes=10, memory_mb=100)
    assert made.error == f"{name} is a link; put the folder itself there"


def test_a_machine_that_isolates_too_little_runs_no_baseline(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = levels.Isolation("basic", "Linux 4.4", 0, ("rlimits", "seccomp"), {"read a file": "open"})
    monkeypatch.setattr(sandbox, "isolation", lambda: weak)
    with pytest.raises(sandbox.SandboxTooWeak, match="A baseline needs isolation of level standard"):
        next(baselines.run(quick, ["quick.py"], max_bytes=10, memory_mb=100))
    (made,) = baselines.run(quick, ["quick.py"], max_bytes=10, memory_mb=100, allow_weak=True)
    assert made == Made("quick.py", b"x")
    refused = baselines.plan(weak, ["quick.py"])
    assert "will not run baselines/quick.py" in refused
    assert "--no-baselines" in refused
    allowed = baselines.plan(weak, ["quick.py"], allow_weak=True)
    assert "at level basic only, which its settings allow" in allowed
