"""Reading what models answer: softly, and never with an exception that nobody expects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.inference.models.analysis.answer import BadAnswer, Verdict, parse_choice, parse_verdict
from core.inference.models.analysis.prompts import EVENT_TYPES

GOOD = '{"type": "person", "description": "A person runs.", "confidence": 0.8}'


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (GOOD, Verdict("person", "A person runs.", 0.8)),
        (f"```json\n{GOOD}\n```", Verdict("person", "A person runs.", 0.8)),
        (f"Sure! Here it is: {GOOD} Anything else?", Verdict("person", "A person runs.", 0.8)),
        (f"{{broken {GOOD}", Verdict("person", "A person runs.", 0.8)),
        (GOOD.replace("0.8", "85"), Verdict("person", "A person runs.", 0.85)),
        (GOOD.replace("0.8", '"85 %"'), Verdict("person", "A person runs.", 0.85)),
        (GOOD.replace("0.8", '"0,9"'), Verdict("person", "A person runs.", 0.9)),
        (GOOD.replace("0.8", "1"), Verdict("person", "A person runs.", 1.0)),
        (GOOD.replace("0.8", "-3"), Verdict("person", "A person runs.", 0.0)),
        (GOOD.replace("0.8", "5000"), Verdict("person", "A person runs.", 1.0)),
        (GOOD.replace("0.8", "NaN"), Verdict("person", "A person runs.", None)),
        (GOOD.replace("0.8", "1" + 400 * "0"), Verdict("person", "A person runs.", None)),
        (GOOD.replace("0.8", '"very"'), Verdict("person", "A person runs.", None)),
        (GOOD.replace("0.8", "true"), Verdict("person", "A person runs.", None)),
        (GOOD.replace('"person"', '"Object Left"'), Verdict("object_left", "A person runs.", 0.8)),
        (GOOD.replace('"person"', '"burglary"'), Verdict(None, "A person runs.", 0.8)),
        (GOOD.replace('"person"', "7"), Verdict(None, "A person runs.", 0.8)),
        ('{"type": "fire"}', Verdict("fire", "", None)),
        ('{"description": " two\\n lines "}', Verdict(None, "two lines", None)),
    ],
)
def test_what_is_understood(text: str, verdict: Verdict) -> None:
    assert parse_verdict(text) == verdict


@pytest.mark.parametrize("text", ["", "no", "[1]", "{}", '{"type": "burglary"}', '{"description": ""}', "{" * 5000])
def test_what_cannot_be_used(text: str) -> None:
    with pytest.raises(BadAnswer):
        parse_verdict(text)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    for answer in (text, f'{{"type": "person", "confidence": {text}}}', f'{{"description": "{text}"}}'):
        try:
            verdict = parse_verdict(answer)
        except BadAnswer:
            continue
        assert verdict.type is None or verdict.type in EVENT_TYPES
        assert verdict.confidence is None or 0 <= verdict.confidence <= 1
        assert len(verdict.description) <= 300


def test_choices() -> None:
    assert parse_choice('{"choice": "Call the guard"}', ("nothing", "call_the_guard")) == "call_the_guard"
    with pytest.raises(BadAnswer):
        parse_choice('{"choice": "maybe"}', ("yes", "no"))
