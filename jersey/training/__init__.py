"""Parameter groups and learning-rate schedules."""
