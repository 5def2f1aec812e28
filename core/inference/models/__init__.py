"""Models: detectors, feature extraction and analysers, behind small protocols."""
