"""The stock Kaggle clients, unmodified, each in an environment of its own, against a real installation.

`make test-clients` makes the environments from the lock files beside this module and runs these tests;
`make test-newest-clients`, which CI runs, only those of the newest two. Each start of a client takes more
than a second, and all versions in both ways are a hundred starts. The newer clients know only
`http://localhost` and reach an installation elsewhere as their proxy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.servers import ROOT, Served, eventually, heldout, served
from tests.web.test_kaggle_hosting import parts

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]

ENVIRONMENTS = ROOT / ".venv-clients"
PASSWORD = "correct horse battery"
NEW = ("kaggle-2.2.5", "kaggle-1.8.4")
OLD = ("kaggle-1.7.4.5", "kaggle-1.6.17")
CLIENTS = (*NEW, *OLD)


LOCALHOST = "http://localhost"
"""What newer clients connect to: port 80."""


@dataclass(frozen=True)
class Installation:
    address: str
    data_dir: Path
    token: str

    def environment(self, client: str, home: Path) -> dict[str, str]:
        """Return the variables of the recipe in docs/kaggle-clients.md."""
        base = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "no_proxy": ""}
        if self.address == LOCALHOST:
            base["no_proxy"] = "*"
        if client == "kaggle-1.6.17":
            return base | {
                "KAGGLE_API_ENDPOINT": self.address,
                "KAGGLE_USERNAME": "ada",
                "KAGGLE_KEY": self.token,
            }
        return base | {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            **({} if self.address == LOCALHOST else {"http_proxy": self.address}),
            "KAGGLE_API_TOKEN": self.token,
            "KAGGLE_USERNAME": "ada",
            "KAGGLE_KEY": self.token,
        }

    def run(self, client: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        return subprocess.run(
            [program(client, "kaggle"), "competitions", *words],
            env=self.environment(client, home),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def program(client: str, name: str) -> Path:
    """Return a program of a client's environment; fail if it is not installed."""
    found = ENVIRONMENTS / client / "bin" / name
    if not found.exists():
        pytest.fail(f"{client} is not installed; run `make test-clients`")
    return found


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Serve the challenge biopsy, which Ada has joined."""
    data = tmp_path_factory.mktemp("clients") / "data"
    with served(data) as server:
        yield _with_ada(server)


NGINX = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:80;
    client_max_body_size 100m;
    location / {{
      proxy_pass {address};
      proxy_request_buffering off;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def behind_nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Serve the same behind nginx on port 80, to which the clients connect without a proxy."""
    if os.getuid() != 0 or shutil.which("nginx") is None:
        pytest.skip("Port 80 needs root, and nginx must be installed (apt-get install nginx).")
    folder = tmp_path_factory.mktemp("nginx")
    with served(folder / "data", HELDOUT_PROXIES="1", HELDOUT_INSECURE_HTTP="true") as server:
        direct = _with_ada(server)
        (folder / "conf").write_text(NGINX.format(folder=folder, address=direct.address))
        folder.chmod(0o755)
        nginx = subprocess.Popen(["nginx", "-c", folder / "conf", "-e", folder / "error.log"])
        try:
            eventually(lambda: _answers(LOCALHOST), what="nginx")
            yield replace(direct, address=LOCALHOST)
        finally:
            nginx.terminate()
            nginx.wait(20)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _with_ada(server: Served) -> Installation:
    data = server.data_dir
    assert heldout(data, "user", "add", "ada", "--password-stdin", stdin=PASSWORD).returncode == 0
    biopsy = str(ROOT / "challenges" / "biopsy")
    published = heldout(data, "challenge", "publish", biopsy, "--no-baselines")
    assert published.returncode == 0, published.stderr
    changed = heldout(data, "competition", "change", "biopsy", "--daily-limit", "50")
    assert changed.returncode == 0, changed.stderr
    token = heldout(data, "token", "ada").stdout.split()[-1]
    here = Installation(server.address, data, token)
    _join(here)
    return here


def _join(here: Installation, slug: str = "biopsy") -> None:
    address = f"{here.address}/api/v1/competitions/{slug}/join"
    headers = {"Authorization": f"Bearer {here.token}"}
    with urllib.request.urlopen(urllib.request.Request(address, b"", headers), timeout=10) as answer:
        assert answer.status == 200


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", ["installation", "behind_nginx"])
def test_a_participant_lists_downloads_submits_and_reads_the_score(
    request: pytest.FixtureRequest, tmp_path: Path, client: str, way: str
) -> None:
    installation: Installation = request.getfixturevalue(way)

    def run(*words: str) -> str:
        return good(installation.run(client, tmp_path, *words))

    assert "biopsy" in run("list")
    assert "sample_submission.csv" in run("files", "biopsy")
    run("download", "biopsy")
    with zipfile.ZipFile(tmp_path / "biopsy.zip") as archive:
        assert "train.csv" in archive.namelist()
        archive.extractall(tmp_path / "all")
    run("download", "biopsy", "-f", "train.csv")
    assert (tmp_path / "train.csv").read_bytes() == (tmp_path / "all" / "train.csv").read_bytes()

    message = f"sample by {client}"
    sample = tmp_path / "all" / "sample_submission.csv"
    assert "Successfully submitted to" in run("submit", "biopsy", "-f", str(sample), "-m", message)
    own_file = tmp_path / "other.csv"  # another message, so that it counts as another submission
    own_file.write_bytes(sample.read_bytes())

    def is_scored() -> bool:
        # kaggle 1.7 also prints its requests, with the message in them.
        lines = run("submissions", "biopsy").splitlines()
        return any(message in line and "complete" in line.lower() for line in lines)

    eventually(is_scored, 120, what="the score")
    assert "ada" in run("leaderboard", "biopsy", "--show")
    (tmp_path / "biopsy.zip").unlink()
    run("leaderboard", "biopsy", "--download")
    with zipfile.ZipFile(tmp_path / "biopsy.zip") as archive:
        assert b",ada," in archive.read(archive.namelist()[0])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_refusal_is_shown_in_our_words(installation: Installation, tmp_path: Path, client: str) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    for words, sentence in (
        (("files", "nowhere"), "There is no competition nowhere."),
        (("submit", "biopsy", "-f", str(empty), "-m", "empty"), "The file is empty."),
    ):
        done = installation.run(client, tmp_path, *words)
        assert sentence in done.stdout + done.stderr, done


def test_the_newest_client_waits_for_a_score_and_prints_why_a_file_is_refused(
    installation: Installation, tmp_path: Path
) -> None:
    client = NEW[0]
    good(installation.run(client, tmp_path, "download", "biopsy", "-f", "sample_submission.csv"))
    waiting = ("--wait", "90", "--poll-interval", "5")
    submit = ("submit", "biopsy", "-f", "sample_submission.csv", "-m", "waited for", *waiting)
    assert "Submission scored. Public score: 0." in good(installation.run(client, tmp_path, *submit))
    limits = good(installation.run(client, tmp_path, "submission-limits", "biopsy"))
    assert "Remaining today" in limits

    wrong = tmp_path / "wrong.csv"
    wrong.write_text("id,malignant\nb0005,high\n")
    done = installation.run(client, tmp_path, "submit", "biopsy", "-f", str(wrong), "-m", "wrong", *waiting)
    assert done.returncode == 1
    assert "line 2" in done.stdout + done.stderr
    assert "malignant" in done.stdout + done.stderr

    listed = good(installation.run(client, tmp_path, "submissions", "biopsy", "--csv"))
    ref = next(line.split(",")[0] for line in listed.splitlines() if "waited for" in line)
    assert "COMPLETE" in good(installation.run(client, tmp_path, "submission", ref))
    (tmp_path / "sample_submission.csv").unlink()
    good(installation.run(client, tmp_path, "submission-download", ref))
    assert (tmp_path / "sample_submission.csv").exists()


def test_a_host_with_the_newest_client_makes_a_competition_in_which_a_participant_is_scored(
    installation: Installation, tmp_path: Path
) -> None:
    """The whole way of the host verbs: from an empty folder to a score of another account."""
    client, data = NEW[0], installation.data_dir
    for name, more in (("grace", ["--organiser"]), ("kim", [])):
        added = heldout(data, "user", "add", name, *more, "--password-stdin", stdin=PASSWORD)
        assert added.returncode == 0, added.stderr
    token = heldout(data, "token", "grace", "--scope", "organise").stdout.split()[-1]
    host = replace(installation, token=token)

    def run(*words: str) -> str:
        return good(host.run(client, tmp_path, *words))

    folder, files = tmp_path / "slopes", parts()
    (folder / "data").mkdir(parents=True)
    for name, content in files.items():
        (folder / name if name == "solution.csv" else folder / "data" / name).write_bytes(content)
    run("init", str(folder))
    metadata = folder / "competition-metadata.json"
    described = json.loads(metadata.read_text())
    described |= {"title": "Slopes", "slug": "slopes", "briefDescription": "How steep?", "privacy": "PUBLIC"}
    metadata.write_text(json.dumps(described))
    assert "Competition created: " in run("create", "-p", str(folder))
    assert "New data version created" in run(
        "data", "update", "slopes", "-p", str(folder / "data"), "-m", "1"
    )
    assert "uploaded" in run("solution", "create", "slopes", "-p", str(folder / "solution.csv"))
    eventually(lambda: "Ready: true" in run("solution", "status", "slopes"), 120, what="the check")
    assert "total=200, public=60, private=140" in run("solution", "status", "slopes")

    settings = {
        "title": "Steep slopes",
        "deadline": "2040-01-31T23:59:00Z",
        "maxPendingSubmissionsPerTeam": 4,
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert "(3 field(s))" in run("settings", "update", "slopes", "-f", "settings.json")
    assert "Steep slopes" in run("settings", "get", "slopes")
    assert "slopes" not in good(installation.run(client, tmp_path, "list"))
    assert "launched" in run("launch", "slopes")
    eventually(
        lambda: "slopes" in good(installation.run(client, tmp_path, "list")), 120, what="the competition"
    )
    assert "added" in run("host-add", "slopes", "-u", "kim", "-y")
    hosts = run("hosts", "slopes")
    assert ("grace" in hosts, "kim" in hosts) == (True, True)

    _join(installation, "slopes")
    good(installation.run(client, tmp_path, "download", "slopes", "-f", "sample_submission.csv"))
    waiting = ("--wait", "90", "--poll-interval", "5")
    submit = ("submit", "slopes", "-f", "sample_submission.csv", "-m", "zeros", *waiting)
    assert "Submission scored. Public score: " in good(installation.run(client, tmp_path, *submit))
    done = host.run(client, tmp_path, "solution", "create", "slopes", "-p", str(folder / "solution.csv"))
    assert "is launched" in done.stdout + done.stderr


@pytest.mark.parametrize("client", ["kaggle-2.2.5", "kaggle-1.6.17"])
def test_a_wrong_token_is_refused_without_a_traceback(
    installation: Installation, tmp_path: Path, client: str
) -> None:
    wrong = Installation(installation.address, installation.data_dir, "hld_wrong")
    done = wrong.run(client, tmp_path, "files", "biopsy")
    assert "Traceback" not in done.stderr
    assert "train.csv" not in done.stdout


def test_kagglehub_downloads_all_files_and_one(installation: Installation, tmp_path: Path) -> None:
    script = (
        "import kagglehub, pathlib\n"
        "assert kagglehub.whoami()['username'] == 'ada'\n"
        "one = kagglehub.competition_download('biopsy', path='train.csv')\n"
        "print(len(pathlib.Path(one).read_text().splitlines()))\n"
        "print(sorted(p.name for p in pathlib.Path(kagglehub.competition_download('biopsy')).iterdir()))\n"
    )
    env = installation.environment("kaggle-2.2.5", tmp_path)
    python = program("kagglehub-1.0.3", "python")
    done = subprocess.run(
        [python, "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert "sample_submission.csv" in good(done)
