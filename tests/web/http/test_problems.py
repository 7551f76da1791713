from turnkeeper.web.http.problems import Problem


def test_a_problem_has_a_status_a_code_and_a_text_for_people() -> None:
    problem = Problem(413, "BODY_TOO_LARGE", "too much", headers={"Connection": "close"}, limit=3)

    assert (problem.status, problem.code, problem.detail) == (413, "BODY_TOO_LARGE", "too much")
    assert problem.headers == {"Connection": "close"}
    assert problem.more == {"limit": 3}
    assert str(problem) == "too much"


def test_problems_do_not_share_headers() -> None:
    headers = {"A": "1"}
    one = Problem(401, "X", "x", headers=headers)
    one.headers["B"] = "2"

    assert headers == {"A": "1"}
    assert Problem(401, "X", "x").headers == {}
