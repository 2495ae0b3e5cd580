"""The moderation step of the pipeline, in two parts: what the review alone decides, then what the prediction does.

Both are pure. The first runs where records are decoded, in a thread, since patterns may take long to search; the second
compares numbers.
"""

from __future__ import annotations

from streamer.events import Prediction, Review, RuleResult
from streamer.formats.json import MISSING, field_at_path
from streamer.moderation.rules import Rules


class Moderation:
    """Applies a list of rules to reviews and their predictions. Immutable, so any thread may use it."""

    def __init__(self, rules: Rules) -> None:
        """`rules`: compiled; where they ask for fields, the Decoder has to keep them (`Decoder.keep_fields`)."""
        self._rules = rules

    def applicable(self, review: Review) -> Review:
        """The review with the rules whose conditions on it hold, and without its fields, which are not needed again."""
        fields = review.fields or {}
        found = [field_at_path(fields, field) for field in self._rules.fields]
        values = [None if value is MISSING else value for value in found]
        # Half of what `_replace` takes; `rules` and `fields` come last.
        return Review(*review[:-2], self._rules.applicable(review.text, review.group, values), None)

    def apply(self, review: Review, prediction: Prediction) -> RuleResult:
        """The decision on a review that went through `applicable`."""
        return self._rules.apply(review.rules, prediction)
