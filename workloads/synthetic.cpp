// synthetic
