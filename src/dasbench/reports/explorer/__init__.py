"""The parts of a report that one explores: lists of training images, charts, their data."""
