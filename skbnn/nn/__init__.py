"""Training of binarized networks with torch; used inside ``fit`` and never by ``predict``."""
