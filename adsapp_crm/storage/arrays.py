"""Lists as one parameter: PostgreSQL's own notation of an array, put together at once.

The driver builds it value by value, which for the keys of a page takes as long as reading the page's rows.
"""

from __future__ import annotations

from collections.abc import Sequence


def array_of(values: Sequence[str | int]) -> str:
    """``{"a","b"}``; where its type does not follow, the statement says it (``%(ids)s::uuid[]``)."""
    if not values:
        return "{}"
    quoted = '","'.join([str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return f'{{"{quoted}"}}'
