"""Image classifiers that leave early and fit where memory is scarce."""
