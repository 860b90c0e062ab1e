"""Images without labels by the million: a callable for engines that exist."""

from exeunt.score.scorer import Scorer

__all__ = ["Scorer"]
