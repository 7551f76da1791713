"""A table of operations -> the OpenAPI 3.1 document of it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from .operation import PROBLEM_JSON, Meant, Operation, Parameter, Refusal, Where, Who

JSON = dict[str, Any]
REF = "#/components/schemas/"
#: The headers that refusals come with, by status.
HEADERS = {
    401: {"WWW-Authenticate": "What kind of token is needed."},
    405: {"Allow": "The methods that the path has."},
    429: {"Retry-After": "After how many seconds to try again."},
    503: {"Retry-After": "After how many seconds to try again."},
}


def document(
    operations: Sequence[Operation],
    *,
    info: Mapping[str, str],
    tags: Mapping[str, str],
    problem: Any,
    words: Mapping[str, Iterable[Meant]],
    security: Mapping[str, JSON],
) -> JSON:
    """The document. ``problem`` is the type of the body of a refusal.

    ``words`` are the enums whose meanings are to be written beside their values; ``security`` are the ways in
    which a user may say who they are, by name: none where no identity is needed.
    """
    schemas = _Schemas(operations, problem, words)
    paths: dict[str, JSON] = {}
    for operation in operations:
        path = paths.setdefault(operation.path, {})
        path[operation.method.lower()] = _operation(operation, schemas, list(security))
    components: JSON = {"schemas": schemas.components}
    if security:
        ticket = {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "From `POST /chat/ticket`.",
        }
        components["securitySchemes"] = {**security, "ticket": ticket}
    return {
        "openapi": "3.1.0",
        "info": dict(info),
        # Where the document is: it says so itself, whatever prefix or proxy stands before it.
        "servers": [{"url": "."}],
        "tags": [{"name": name, "description": about} for name, about in tags.items()],
        "paths": paths,
        "components": components,
    }


class _Schemas:
    """The schemas of all types in the table, each made once."""

    def __init__(
        self, operations: Sequence[Operation], problem: Any, words: Mapping[str, Iterable[Meant]]
    ) -> None:
        kinds = [problem]
        for operation in operations:
            kinds += [each.kind for each in operation.parameters]
            kinds += [each.kind for each in operation.answers.values() if each.kind is not None]
            kinds += [operation.body] * (operation.body is not None)
        made, components = msgspec.json.schema_components(kinds, ref_template=REF + "{name}")
        self._made = dict(zip(map(id, kinds), made, strict=True))
        self._kept = kinds  # an id is only good while its object lives
        self.components: dict[str, JSON] = components
        self.problem: JSON = self._made[id(problem)]
        for schema in components.values():
            _require(schema)
        for name in words.keys() & components.keys():
            meanings = "\n".join(f"* `{word.value}`: {word.meaning}" for word in words[name])
            components[name]["type"] = "string"
            components[name]["description"] += f"\n\n{meanings}"

    def __getitem__(self, kind: Any) -> JSON:
        """The schema of a type that stands in the table."""
        return self._made[id(kind)]

    def example(self, schema: JSON) -> Any:
        """A value that keeps the schema, put together from the examples of its members."""
        if "examples" in schema:
            return schema["examples"][0]
        if "$ref" in schema:
            return self.example(self.components[schema["$ref"].removeprefix(REF)])
        if "enum" in schema:
            return schema["enum"][0]
        if "const" in schema:
            return schema["const"]
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0])
        match schema.get("type"):
            case "object":
                # What is left out unless it applies stands in an example only if it has one of its own.
                members, required = schema.get("properties", {}), schema.get("required", [])
                shown = {name for name, each in members.items() if name in required or "examples" in each}
                return {name: self.example(each) for name, each in members.items() if name in shown}
            case "array":
                return [self.example(schema["items"])] if schema.get("items") else []
            case "boolean":
                return True
            case _:
                return schema.get("default")


def _require(schema: JSON) -> None:
    """Require what an answer never leaves out: all that has a default. In a body it may be left out."""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        kept = [name for name, each in schema.get("properties", {}).items() if "default" in each]
        schema["required"] = [*schema.get("required", []), *kept]


def _operation(operation: Operation, schemas: _Schemas, ways: list[str]) -> JSON:
    data: JSON = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.about,
        "parameters": [_parameter(each, schemas) for each in operation.parameters],
        "responses": {str(status): answer for status, answer in _responses(operation, schemas)},
        "security": _security(operation.who, ways),
    }
    if operation.body is not None:
        content: JSON = {"schema": schemas[operation.body]}
        content["examples"] = {name: {"value": body} for name, body in operation.examples.items()}
        data["requestBody"] = {"required": True, "content": {"application/json": content}}
    return data


def _parameter(parameter: Parameter, schemas: _Schemas) -> JSON:
    schema = schemas[parameter.kind]
    data: JSON = {
        "name": parameter.name,
        "in": parameter.where.value,
        "description": parameter.meaning,
        "schema": schema,
    }
    if parameter.required or parameter.where is Where.PATH:
        data |= {"required": True, "example": schemas.example(schema)}
    return data


def _security(who: Who, ways: list[str]) -> list[dict[str, list[str]]]:
    match who:
        case Who.ANYONE | Who.VISITORS:
            return []
        case Who.USERS | Who.SCRAPERS:
            return [{way: []} for way in ways]
        case Who.TICKETS:
            return [{way: []} for way in (*ways, "ticket")] if ways else []


def _responses(operation: Operation, schemas: _Schemas) -> Iterable[tuple[int, JSON]]:
    by_status: dict[int, list[Refusal]] = {}
    for refusal in operation.refusals:
        by_status.setdefault(refusal.status, []).append(refusal)
    for status in sorted({*operation.answers, *by_status}):
        if status in operation.answers:
            yield status, _answer(operation, status, schemas)
        else:
            yield status, _refused(status, by_status[status], schemas)


def _answer(operation: Operation, status: int, schemas: _Schemas) -> JSON:
    answer = operation.answers[status]
    data: JSON = {"description": answer.meaning}
    if answer.kind is not None:
        schema = schemas[answer.kind]
        data["content"] = {answer.media: {"schema": schema, "example": schemas.example(schema)}}
    return data | _headers(answer.headers)


def _refused(status: int, refusals: list[Refusal], schemas: _Schemas) -> JSON:
    codes = [refusal.value for refusal in refusals]
    schema = {"allOf": [schemas.problem, {"properties": {"code": {"enum": codes}}}]}
    base: JSON = schemas.example(schemas.problem)
    own = [
        {"title": each.status_text, "status": status, "detail": each.meaning, "code": each.value}
        for each in refusals
    ]
    examples = {each["code"]: {"value": {**base, **each}} for each in own}
    meanings = "\n".join(f"* `{each.value}`: {each.meaning}" for each in refusals)
    content = {PROBLEM_JSON: {"schema": schema, "examples": examples}}
    return {"description": meanings, "content": content} | _headers(HEADERS.get(status, {}))


def _headers(headers: Mapping[str, str]) -> JSON:
    said = {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
    return {"headers": said} if said else {}
