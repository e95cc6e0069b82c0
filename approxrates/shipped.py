"""Where the files that come with the package are: the catalogue's claims and the stored random bits."""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """The folder ``targets``: inside an installed package, beside it in a checkout or an editable installation.

    Raises:
        ValueError: If it is in neither place.
    """
    package = Path(__file__).resolve().parent
    places = (package / "catalogue_data", package.parent / "targets")
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise ValueError(
            f"the catalogue must be at {places[0]} or {places[1]}. Got neither. Install approxrates again."
        )
    return found
