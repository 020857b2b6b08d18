"""How well a figure agrees with NVIDIA's choice: against counting all pairs."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import manifest
from pipeline.manifest import Scored
from pipeline.published.agreement import Agreement, agreement, agreements
from tests.stages.test_select import scored

FIGURES = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.booleans()), min_size=2, max_size=30)


@given(rows=FIGURES.filter(lambda rows: len({chosen for _, chosen in rows}) == 2))
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, bool]]) -> None:
    figures, chosen = [figure for figure, _ in rows], [choice for _, choice in rows]
    inside = [figure for figure, choice in rows if choice]
    outside = [figure for figure, choice in rows if not choice]
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(inside, outside)]
    found = agreement(figures, chosen)
    assert found.auc == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
    order = sorted(range(len(rows)), key=lambda place: -figures[place])[: len(inside)]
    assert found.overlap == pytest.approx(sum(chosen[place] for place in order) / len(inside), abs=1e-6)


def test_known_agreements() -> None:
    chosen = [True, True, False, False, False]
    assert agreement([5, 4, 3, 2, 1], chosen) == Agreement(1.0, 1.0)
    assert agreement([1, 2, 3, 4, 5], chosen) == Agreement(0.0, 0.0)
    assert agreement([7, 7, 7, 7, 7], chosen) == Agreement(0.5, 1.0)  # ties stay in order
    assert agreement([5, 1, 3, 2, 0], chosen) == Agreement(round(4 / 6, 6), 0.5)
    with pytest.raises(ValueError, match="2 faces are chosen and 0 are not"):
        agreement([1, 2], [True, True])


def test_each_figure_is_compared(tmp_path: Path) -> None:
    rows = [
        replace(scored(place, 0.1 * place), sharpness=10.0 - place, shrink=1 + place % 2, zoom=2.0)
        for place in range(4)
    ]
    rows[3] = replace(rows[3], photograph=replace(rows[3].photograph, size=50))
    manifest.write_rows(tmp_path / "superres.parquet", Scored, rows)
    names = ["quality", "sharpness", "photograph", "shrink", "zoom"]
    found = agreements(manifest.kept_columns(tmp_path / "superres.parquet", names), [True, False, False, True])
    assert found == {
        "quality": Agreement(0.5, 0.5),
        "sharpness": Agreement(0.5, 0.5),
        "file_size": Agreement(0.75, 1.0),
        "resolution": Agreement(0.5, 0.5),
    }
