from turnkeeper.web.openapi.operation import Answer, Operation


def test_an_operation_has_a_name_of_its_own_that_any_language_can_say() -> None:
    send = Operation(
        method="POST", path="/chat/{log_id}/send", tag="t", summary="s", answers={202: Answer(str, "taken")}
    )

    assert send.name == "post_chat_log_id_send"
    assert send.name.isidentifier()
