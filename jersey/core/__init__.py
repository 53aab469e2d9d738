"""What every part uses: labels, errors, seeds, processes, the console, whole files, tables."""
