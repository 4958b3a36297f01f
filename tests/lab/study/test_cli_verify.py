import pytest
from airbench_lab.cli import main
from airbench_lab.study import cli_verify


@pytest.mark.parametrize(
    ("target", "status", "verdict"), [(0.99, 1, "FAILED"), (0.9375, 0, "nothing speaks"), (None, 0, "nothing speaks")]
)
def test_verify_tests_the_mean_against_the_target(target, status, verdict, monkeypatch, capsys):
    """Five runs of 0.93 to 0.945; the published target of airbench94 is 0.94."""
    accuracies = [0.93, 0.935, 0.94, 0.945, 0.9375]
    monkeypatch.setattr(cli_verify, "make_runs", lambda args: accuracies[: args.runs])
    asked = [] if target is None else ["--target", str(target)]
    assert main(["verify", "airbench94", "--runs", "5", *asked]) == status
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.startswith("mean accuracy 0.9375, 95 % interval 0.9306 to 0.9444, n=5; ")
    assert verdict in line
    monkeypatch.setattr(cli_verify, "make_runs", lambda args: accuracies)
    assert main(["verify", "airbench94", "--runs", "6"]) == 130  # stopped before the last run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["airbench94", "--runs", "4"], "runs=4 is not legal: fewer than 5 runs say nothing"),
        (["resnet18"], "no accuracy is published for resnet18 as it is here: name a --target"),
        (["airbench94", "--target", "94"], "target=94 is not legal: above 0, below 1, such as 0.94"),
        (["airbench94", "--scale", "laptop"], "a published accuracy is that of a recipe as it is"),
        (["airbench94", "--set", "flip=none"], "a published accuracy is that of a recipe as it is"),
        (["airbench94", "--holdout", "5000"], "a published accuracy is that of a recipe as it is"),
        (["airbench94", "--data", "svhn"], "a published accuracy is that of a recipe as it is"),
        (["airbench93"], "unknown recipe 'airbench93'"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(cli_verify, "make_runs", lambda args: [0.94] * args.runs)  # hours, if it came to that
    assert main(["verify", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
