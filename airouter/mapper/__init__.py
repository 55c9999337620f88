"""The mapper: translates what detectors say to the labels of one taxonomy."""
