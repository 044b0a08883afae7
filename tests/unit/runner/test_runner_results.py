"""What the program prints and returns for deployments that can run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from runner_changes import Run

from ectoolkit.core.compare import compare
from ectoolkit.core.deployment import load_deployment
from ectoolkit.runner import run_inference

EQUAL = """\
model: tiny "nét"\\  target: cpu  isa: generic
latency over 3 runs: mean # ms, p50 # ms, p99 # ms
max abs diff: 0
mean abs diff: 0
correct ratio: 1
"""


def without_times(text: str) -> str:
    return re.sub(r"\d+\.\d{3} ms", "# ms", text)


def edit_reference(folder: Path, name: str, **values: float) -> None:
    reference = np.fromfile(folder / name, "<f4")
    for index, value in values.items():
        reference[int(index[1:])] = value
    reference.tofile(folder / name)


def test_equal(run: Run, deployment: Path) -> None:
    load_deployment(deployment)
    done = run(deployment, "--runs", "3", "--warmup=0")
    assert (done.returncode, without_times(done.stdout), done.stderr) == (0, EQUAL, "")


def test_default_is_100_runs(run: Run, deployment: Path) -> None:
    assert "latency over 100 runs: mean " in run(deployment).stdout


def test_relative_folder(run: Run, deployment: Path) -> None:
    for folder, cwd in [("deploy", deployment.parent), ("./deploy/", deployment.parent), (".", deployment)]:
        assert run(folder, "--runs=1", cwd=cwd).returncode == 0


def test_empty_environment(program: Path, deployment: Path) -> None:
    command = ["env", "-i", str(program), str(deployment), "--runs=3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, without_times(done.stdout), done.stderr) == (0, EQUAL, "")


def test_one_reference_value_differs(run: Run, deployment: Path) -> None:
    edit_reference(deployment, "ref_result_0.bin", _17=-30.5)
    done = run(deployment, "--runs=3")
    expected = EQUAL.replace("max abs diff: 0", "max abs diff: 31.5")
    expected = expected.replace("mean abs diff: 0", "mean abs diff: 1.125")
    expected = expected.replace("correct ratio: 1", "correct ratio: 0.964285714")
    expected += "first difference: scores[0, 1, 1, 1] is -62, expected -30.5 (1 of 24 differ)\n"
    assert (done.returncode, without_times(done.stdout), done.stderr) == (1, expected, "")


def test_digits_tell_neighbouring_floats_apart(run: Run, deployment: Path) -> None:
    edit_reference(deployment, "ref_result_1.bin", _3=np.nextafter(np.float32(48), np.float32(49)), _2=1e30)
    done = run(deployment, "--runs=1")
    assert done.returncode == 1
    assert "first difference: boxes[0, 2] is 37, expected 1.00000002e+30 (2 of 4 differ)\n" in done.stdout


def test_first_difference_is_of_the_first_output(run: Run, deployment: Path) -> None:
    edit_reference(deployment, "ref_result_0.bin", _23=0)
    edit_reference(deployment, "ref_result_1.bin", _0=0, _1=0)
    done = run(deployment, "--runs=1")
    assert done.returncode == 1
    assert "correct ratio: 0.892857143\n" in done.stdout
    assert "first difference: scores[0, 1, 2, 3] is -176, expected 0 (1 of 24 differ)\n" in done.stdout


@pytest.mark.parametrize(("value", "printed"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_reference_without_a_number(run: Run, deployment: Path, value: float, printed: str) -> None:
    edit_reference(deployment, "ref_result_1.bin", _0=value)
    done = run(deployment, "--runs=1")
    assert done.returncode == 1
    assert "max abs diff: inf\nmean abs diff: inf\n" in done.stdout
    assert f"boxes[0, 0] is 15, expected {printed} (1 of 4 differ)" in done.stdout


def test_numbers_agree_with_compare(run: Run, deployment: Path) -> None:
    correct = load_deployment(deployment).references()
    edit_reference(deployment, "ref_result_0.bin", _1=0.25, _5=77, _6=-1e-3)
    edited = [np.fromfile(deployment / f"ref_result_{i}.bin", "<f4").reshape(a.shape) for i, a in enumerate(correct)]
    diff = compare(correct, edited, ["scores", "boxes"])
    stdout = run(deployment, "--runs=1").stdout
    assert f"max abs diff: {diff.max_abs_diff:.9g}\n" in stdout
    assert f"mean abs diff: {diff.mean_abs_diff:.9g}\n" in stdout
    assert f"correct ratio: {diff.correct_ratio:.9g}\n" in stdout
    assert diff.first is not None
    assert f"scores{list(diff.first.first_index or ())} is " in stdout


def test_threads(run: Run, deployment: Path) -> None:
    for threads in range(1, len(os.sched_getaffinity(0)) + 1):
        assert run(deployment, "--runs=1", "--threads", threads).returncode == 0


def test_more_threads_than_cpus(run: Run, deployment: Path) -> None:
    most = len(os.sched_getaffinity(0))
    done = run(deployment, "--threads", most + 1)
    assert done.returncode == 2
    assert done.stderr == (
        f"inference: --threads is {most + 1}, and this process may use {most} CPU{'s' * (most > 1)}. "
        "TVM's threads wait by spinning, so more of them than CPUs only lose time: "
        f"ask for at most {most}\n"
    )


def test_only_the_cpus_of_the_process_are_used(run: Run, deployment: Path) -> None:
    one = max(os.sched_getaffinity(0))
    pinned = {"preexec_fn": lambda: os.sched_setaffinity(0, {one})}
    assert run(deployment, "--runs=1", **pinned).returncode == 0
    assert "this process may use 1 CPU." in run(deployment, "--threads=2", **pinned).stderr


def test_threads_from_the_environment(run: Run, deployment: Path) -> None:
    assert run(deployment, "--runs=1", env={"TVM_NUM_THREADS": "2"}).returncode == 0


def test_output_that_cannot_be_written(program: Path, deployment: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([program, deployment, "--runs=1"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "inference: cannot write to standard output\n")


def test_run_inference(program: Path, deployment: Path) -> None:
    done = run_inference(deployment, runs=3, warmup=1, threads=1, env={"PATH": os.defpath})
    assert (done.returncode, without_times(done.stdout)) == (0, EQUAL)


def test_help(run: Run) -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: inference DIR [--runs N] [--warmup N] [--threads N]\n")
    assert "Exit status: 0 equal, 1 different, 2 could not run." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the deploy directory is missing"),
        ([""], "the name of the directory is empty"),
        (["a", "b"], "two directories are given: a, b"),
        (["a", "--speed", "3"], "there is no option --speed"),
        (["a", "--runs"], "--runs needs a number"),
        (["a", "--runs", "0"], "--runs is '0', expected a whole number from 1 to 10000000"),
        (["a", "--runs=1e3"], "--runs is '1e3', expected a whole number from 1 to 10000000"),
        (["a", "--warmup=-1"], "--warmup is '-1', expected a whole number from 0 to 10000000"),
        (["a", "--threads="], "--threads is '', expected a whole number from 1 to 1024"),
        (
            ["a", "--threads", "99999999999"],
            "--threads is '99999999999', expected a whole number from 1 to 1024",
        ),
    ],
)
def test_bad_arguments(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    usage = "usage: inference DIR [--runs N] [--warmup N] [--threads N]\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"inference: {message}\n{usage}")
