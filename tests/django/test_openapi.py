"""The document of the internal API, as others read it."""

import json

from openapi_spec_validator import OpenAPIV31SpecValidator

from harness import Gateway

METHODS = {"get", "post", "delete"}


def test_it_is_valid_openapi(gateway: Gateway) -> None:
    document = gateway.internal("GET", "/openapi.json").json()
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert document["openapi"].startswith("3.1.")


def test_the_judge_does_find_mistakes(gateway: Gateway) -> None:
    document = gateway.internal("GET", "/openapi.json").json()
    document["paths"]["/v1/channels/{channel}"]["delete"]["parameters"] = []
    assert list(OpenAPIV31SpecValidator(document).iter_errors())


def test_every_operation_says_what_it_is(gateway: Gateway) -> None:
    document = gateway.internal("GET", "/openapi.json").json()
    operations = [item[method] for item in document["paths"].values() for method in METHODS & set(item)]
    assert all(operation["summary"] for operation in operations)
    identifiers = [operation["operationId"] for operation in operations]
    assert len(identifiers) == len(set(identifiers)) == 18
    assert "$ref" in json.dumps(document)
