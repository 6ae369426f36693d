"""What the daemons said over time: from values to buckets, and back to points of a chart."""
