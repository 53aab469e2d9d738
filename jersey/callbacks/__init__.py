"""Lightning callbacks: they collect data, which `plots`, `export` and `runs` process."""
