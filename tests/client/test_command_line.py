"""`python -m client` against the running system, as somebody types it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from client.command_line import main
from deploy.local.system import LocalSystem
from models.synthesis import phonocardiogram, silence, wav_bytes

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command of a profile: exit status, stdout and stderr."""

    def run_command(profile: str, *arguments: object) -> tuple[int, str, str]:
        words = ["--folder", str(tmp_path), "--profile", profile, *map(str, arguments)]
        status = main(words)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run_command


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("a long enough password\n")
    return path


def _register(run: Run, system: LocalSystem, kind: str, password_file: Path) -> None:
    fingerprint = (system.home / "public" / "keyholder-fingerprint").read_text().strip()
    status, out, err = run(
        kind,
        *("register", f"Typed {kind}", "--kind", kind, "--keyholder", system.keyholder_url),
        *("--fingerprint", fingerprint.upper(), "--password-file", password_file),
    )
    assert status == 0, err
    assert re.search(r"Your login is typed-\w+-?\d+", out), out


def test_the_whole_way(
    run: Run, running_system: LocalSystem, password_file: Path, tmp_path: Path
) -> None:
    for kind in ("patient", "doctor"):
        _register(run, running_system, kind, password_file)
    (tmp_path / "heart.wav").write_bytes(wav_bytes(phonocardiogram(72, seconds=6.0, seed=5)))
    (tmp_path / "quiet.wav").write_bytes(wav_bytes(silence(6.0)))
    (tmp_path / "notes.wav").write_text("no sound at all")

    code = re.search(r"[A-Z2-7]{4}(?:-[A-Z2-7]{4}){3}", run("doctor", "account")[1])
    assert code is not None
    status, out, _ = run("patient", "consent", code[0].lower().replace("-", " "))
    assert (status, "Typed doctor can open your counts" in out) == (0, True)

    pseudonym = run("doctor", "patients")[1].splitlines()[1].split()[0]
    status, out, err = run("doctor", "range", pseudonym, "--low", "50", "--high", "99.5")
    assert (status, "in force" in out) == (0, True), err

    files = [tmp_path / name for name in ("heart.wav", "quiet.wav", "notes.wav")]
    status, out, err = run("patient", "upload", *files)
    assert status == 1, "a file that was refused shows in the exit status"
    assert "2 uploaded, 1 counted." in out
    assert "quiet.wav: unreadable" in err
    assert "notes.wav: The file is no audio" in err

    status, out, _ = run("patient", "counts")
    assert (status, out.splitlines()[-1].split()) == (0, ["total", "1", "0", "0"])
    status, out, _ = run("doctor", "counts", "--patient", pseudonym)
    assert (status, out.splitlines()[-1].split()) == (0, ["total", "1", "0", "0"])
    assert run("doctor", "patients")[1].splitlines()[1].split()[-4:] == ["1", "0", "0", "active"]

    grant = run("patient", "consents")[1].split()[0]
    assert run("patient", "revoke", grant)[0] == 0
    assert run("patient", "consents")[1] == ""
    status, out, err = run("doctor", "counts", "--patient", pseudonym)
    assert (status, out) == (1, "")
    assert err.startswith("NotFound: ")
    assert len(run("doctor", "patients")[1].splitlines()) == 1

    status, out, _ = run("patient", "login", "--password-file", password_file)
    assert (status, "Logged in" in out) == (0, True)
    for _ in range(2):
        status, out, _ = run("patient", "logout")
        assert (status, "Logged out" in out) == (0, True)
    assert run("patient", "account")[2].startswith("NotLoggedIn: ")


def test_a_profile_that_is_not_there(run: Run) -> None:
    status, out, err = run("nobody", "counts")
    assert (status, out) == (1, "")
    assert "Register one first" in err


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden"])
def test_a_profile_is_no_path(run: Run, name: str) -> None:
    status, _, err = run(name, "counts")
    assert status == 1
    assert "one word without slashes" in err


def test_a_missing_password_file(run: Run, tmp_path: Path) -> None:
    status, _, err = run(
        "x",
        *("register", "X", "--kind", "patient", "--fingerprint", "0" * 64),
        *("--password-file", tmp_path / "missing"),
    )
    assert status == 1
    assert "cannot be read" in err


def test_limits_out_of_order_never_leave(run: Run) -> None:
    status, _, err = run("nobody", "range", "ab" * 16, "--low", "100", "--high", "50")
    assert status == 1
    assert "above the upper one" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["counts", "--first", "yesterday"],
        ["range", "ab", "--low", "slow", "--high", "1"],
        ["range", "ab", "--low", "nan", "--high", "1"],
        ["upload"],
    ],
)
def test_words_that_make_no_sense(run: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("nobody", *arguments)
    assert ended.value.code == 2
