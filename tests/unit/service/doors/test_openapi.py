"""The OpenAPI document by itself."""

from typing import Union

import pytest
from pydantic import TypeAdapter

from service.http.openapi import TAKES
from service.http.operations import OPERATIONS

EXAMPLES = [(verb, example) for verb, about in OPERATIONS.items() for example in about.examples.values()]


@pytest.mark.parametrize(("verb", "example"), EXAMPLES, ids=lambda part: getattr(part, "name", ""))
def test_the_examples_are_valid_bodies(verb, example):
    """A reader who sends an example unchanged gets no error of validation."""
    TypeAdapter(Union[TAKES[verb]]).validate_python(example)  # noqa: UP007  # of a tuple
