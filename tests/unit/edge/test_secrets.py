"""Secrets are read by name from a folder, and never stand in the site file."""

import pytest

from contract.errors import AnjuError
from contract.site import Secret
from edge.secrets import read_secret


@pytest.mark.parametrize("variable", ["ANJU_SECRETS", "CREDENTIALS_DIRECTORY"])
@pytest.mark.parametrize("name", ["proxy", "secret_proxy"])
@pytest.mark.parametrize("end", [b"s3cret\n", b"s3cret\r\n", b"s3cret"])
def test_a_secret_is_found_by_its_name_or_by_systemds(tmp_path, variable, name, end):
    (tmp_path / name).write_bytes(end)
    assert read_secret(Secret("proxy"), {variable: str(tmp_path)}) == "s3cret"


def test_a_missing_secret_says_where_to_put_it(tmp_path):
    with pytest.raises(AnjuError, match="no folder of secrets"):
        read_secret(Secret("proxy"), {})
    with pytest.raises(AnjuError, match="there is no secret 'proxy' in"):
        read_secret(Secret("proxy"), {"ANJU_SECRETS": str(tmp_path)})
    (tmp_path / "proxy").mkdir()
    with pytest.raises(AnjuError, match="cannot be read"):
        read_secret(Secret("proxy"), {"ANJU_SECRETS": str(tmp_path)})
