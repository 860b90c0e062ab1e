"""Images without labels by the million: a callable for engines that exist, and a job of its own."""

from exeunt.score.job import score_images
from exeunt.score.results import Scored
from exeunt.score.scorer import Scorer

__all__ = ["Scored", "Scorer", "score_images"]
