"""The vocabulary, chosen from the train split alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from streamer.text import PAD, UNKNOWN


def build_vocabulary(train: Iterable[Sequence[str]], size: int, characters: int) -> tuple[str, ...]:
    """The pad and unknown tokens, then the `size - 2` most useful tokens of the train split.

    First every character of non-ASCII words that is seen `characters` times or more, since words outside the
    vocabulary fall back to their characters; then tokens by how many reviews they are in. All sorted by that count.
    """
    document_counts: Counter[str] = Counter()
    character_counts: Counter[str] = Counter()
    for tokens in train:
        distinct = set(tokens)
        document_counts.update(distinct)
        character_counts.update({character for token in distinct if not token.isascii() for character in token})
    room = size - 2
    kept = {character for character, count in character_counts.most_common(room) if count >= characters}
    for token, count in sorted(document_counts.items(), key=lambda item: (-item[1], item[0])):
        if len(kept) >= room or count < 2:
            break
        kept.add(token)
    count_of = {token: max(document_counts[token], character_counts[token]) for token in kept}
    return (PAD, UNKNOWN, *sorted(kept, key=lambda token: (-count_of[token], token)))
