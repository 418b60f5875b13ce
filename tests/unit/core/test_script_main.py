"""Scripts: one string of settings, and mistakes as one sentence."""

import pytest

from dasbench.core import artifacts, script_main


def test_a_mistake_ends_the_script_with_its_sentence():
    def run():
        artifacts.load_json("results/smoke/none.json")

    with pytest.raises(SystemExit) as caught:
        script_main.main(run)
    assert str(caught.value.code).startswith("error: results/smoke/none.json is missing: ")


def test_other_errors_keep_their_traceback_and_end_with_a_sentence(capsys):
    def run():
        raise ZeroDivisionError("by nothing")

    with pytest.raises(SystemExit) as caught:
        script_main.main(run)
    sentence = caught.value.code
    assert sentence.startswith("error: ")
    assert "(ZeroDivisionError: by nothing)" in sentence
    assert "./run verify" in sentence
    assert "Traceback" in capsys.readouterr().err


def test_settings_are_one_json_string(capsys):
    parser = script_main.parser("What the script does.")
    assert parser.parse_args(["--settings", '{"axes": ["digits", 0]}']).settings == {
        "axes": ["digits", 0]
    }
    for wrong in ([], ["--settings", "{"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)
    assert "--settings" in capsys.readouterr().err
