"""Lists as one parameter of a statement: they come back as they were."""

from __future__ import annotations

import pytest
from django.db import connection as database

from adsapp_crm.storage.arrays import array_of

ODD = ["", "a", 'q"uote', "back\\slash", "{}", "a,b", "NULL", "\n", " x ", "\u00e9\u4e2d", "'"]


@pytest.mark.django_db
@pytest.mark.parametrize("values", [[], [""], ODD, ["NULL"]])
def test_a_list_of_texts_comes_back_as_it_was(values):
    with database.cursor() as cursor:
        cursor.execute("SELECT %s::text[]", [array_of(values)])
        assert cursor.fetchone() == (values,)


@pytest.mark.django_db
def test_a_list_of_numbers_comes_back_as_it_was():
    with database.cursor() as cursor:
        cursor.execute("SELECT %s::bigint[]", [array_of([1, 2**40])])
        assert cursor.fetchone() == ([1, 2**40],)
