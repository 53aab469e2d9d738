"""Lightning callbacks: they collect, and plots, export and tracking do the work."""
