"""The OpenAPI document by itself."""

import pytest
from pydantic import TypeAdapter

from service.http.operations import OPERATIONS

EXAMPLES = [
    (operation, example)
    for methods in OPERATIONS.values()
    for operation in methods.values()
    for example in operation.examples.values()
]


@pytest.mark.parametrize(("operation", "example"), EXAMPLES, ids=lambda part: getattr(part, "id", ""))
def test_the_examples_are_valid_bodies(operation, example):
    """A reader who sends an example unchanged gets no error of validation."""
    bodies = operation.takes[0] if len(operation.takes) == 1 else operation.takes[0] | operation.takes[1]
    TypeAdapter(bodies).validate_python(example)
