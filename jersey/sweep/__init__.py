"""Many runs of one experiment: named, started as processes of their own, continued as a whole, and put in one table."""
