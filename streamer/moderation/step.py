"""The moderation step of the pipeline, in two parts: conditions on the review, then conditions on the prediction.

Both are pure. The first part runs in the decoding thread, since searching for patterns may take long. The second part
only compares numbers.
"""

from __future__ import annotations

from streamer.events import Prediction, Review, RuleResult
from streamer.formats.json import MISSING, field_at_path
from streamer.moderation.rules import Rules


class Moderation:
    """Applies a list of rules to reviews and their predictions. Immutable, so any thread may use it."""

    def __init__(self, rules: Rules) -> None:
        """`rules`: compiled. If they check fields, the Decoder must keep these (`Decoder.keep_fields`)."""
        self._rules = rules

    def applicable(self, review: Review) -> Review:
        """The review with the rules whose conditions on it hold, without its fields, which are no longer needed."""
        fields = review.fields or {}
        found = [field_at_path(fields, field) for field in self._rules.fields]
        values = [None if value is MISSING else value for value in found]
        # Takes half the time of `_replace`. `rules` and `fields` are the last two.
        return Review(*review[:-2], self._rules.applicable(review.text, review.group, values), None)

    def apply(self, review: Review, prediction: Prediction) -> RuleResult:
        """The decision on a review that `applicable` returned."""
        return self._rules.apply(review.rules, prediction)
