"""The hostile cases side by side with Debian's nginx and haproxy: in none of them is the gateway weaker than both."""

from pathlib import Path

from hostile_fronts import compare, summary


def test_in_no_case_is_the_gateway_weaker_than_both(folder: Path) -> None:
    place = folder / "hostile-fronts"
    place.mkdir()
    rows = compare(place)
    print(summary(rows))
    assert [str(row) for row in rows if row.verdicts[0] < min(row.verdicts[1:])] == []
    # And what no front may do: pass on what can be read in two ways.
    assert [str(row) for row in rows if row.verdicts[0] == 0] == []
