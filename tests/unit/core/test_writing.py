"""Files and folders that are written whole or not at all."""

import errno
import os

import pytest

from dasbench.core import writing
from dasbench.errors import UserError


def test_a_text_is_written_and_replaced(tmp_path):
    for text in ("ä\n", "shorter"):
        writing.write_text(tmp_path / "a" / "page.md", text)
        assert (tmp_path / "a" / "page.md").read_bytes() == text.encode()
    assert os.listdir(tmp_path / "a") == ["page.md"]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, OSError(errno.ENOSPC, "disk is full")])
def test_a_staging_folder_is_gone_afterwards(error, tmp_path):
    def fill():
        with writing.staging(tmp_path / "new", tmp_path / "new/target") as folder:
            assert folder.parent == tmp_path / "new"
            (folder / "kept").write_text("kept")
            (folder / "other").write_text("other")
            (folder / "kept").replace(tmp_path / "new/target")
            if error is not None:
                raise error

    if error is None:
        fill()
    elif isinstance(error, OSError):
        with pytest.raises(UserError, match=r"target could not be written \(disk is full\)"):
            fill()
    else:
        with pytest.raises(error):
            fill()
    assert os.listdir(tmp_path / "new") == ["target"]


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="could not be written"),
        writing.staging(tmp_path / "file", tmp_path / "file"),
    ):
        pass
