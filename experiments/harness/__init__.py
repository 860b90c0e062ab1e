"""What the experiments share: runs as data, images, measuring, rows, claims."""
