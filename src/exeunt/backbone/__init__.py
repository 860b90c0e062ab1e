"""Exits for a network that was not made for them."""

from __future__ import annotations

from exeunt.backbone.attach import attach_exits
from exeunt.backbone.places import Place, even_places, places_of, stage_places

__all__ = ["Place", "attach_exits", "even_places", "places_of", "stage_places"]
