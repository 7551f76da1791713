import pytest

from turnkeeper.web.client.errors import ClientError, Misconfigured, Refused, Unreachable


@pytest.mark.parametrize("error", [Misconfigured("x"), Unreachable("x"), Refused(404, "CODE", "x")])
def test_every_error_of_a_client_is_one_and_has_a_line_for_people(error: Exception) -> None:
    assert isinstance(error, ClientError)
    assert str(error) == "x"
