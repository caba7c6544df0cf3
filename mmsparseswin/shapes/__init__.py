"""Draw the embedded data set: shapes in COCO layout."""
