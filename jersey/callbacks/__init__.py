"""Lightning callbacks, one file each: they collect, and plots, export and tracking do the work."""
