"""The mapper: any detector's output to the labels of one taxonomy (POST /map)."""
